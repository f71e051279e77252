#!/usr/bin/env bash
# Installs what the tests run inside the sandbox, where it is missing and can be installed (Debian, as root);
# elsewhere it says what is missing, and the tests that need it are skipped, loudly.
set -euo pipefail

# The user as whom root runs the end-to-end tests once more.
if [[ $(id -u) == 0 ]] && ! id tester >/dev/null 2>&1; then
  useradd --create-home tester
fi

missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
# A toolchain in a home directory is there for its owner alone.
need_of_all() { if [[ $(id -u) != 0 ]]; then need "$@"; else su tester -c "command -v $1" >/dev/null 2>&1 || missing+=("$2"); fi; }
need git git
need gcc gcc
need c++ g++
need make make
need bwrap bubblewrap
need zsh zsh
# For benchmarks of the network.
need slirp4netns slirp4netns
need pasta passt
need_of_all python3 python3
need_of_all node nodejs
need_of_all cargo cargo

if ((${#missing[@]})); then
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "setup: missing and not installed: ${missing[*]} (install them, or some tests are skipped)" >&2
  fi
fi
