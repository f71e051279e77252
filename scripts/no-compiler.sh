#!/usr/bin/env bash
# Stands for a compiler of C and an archiver where only types are checked: makes the file that it is asked for, empty.
set -euo pipefail
output=
previous=
for argument in "$@"; do
  case $previous in -o) output=$argument ;; esac
  case $argument in *.a) output=$argument ;; esac
  previous=$argument
done
if [[ -n $output ]]; then : > "$output"; fi
