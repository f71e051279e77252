#!/usr/bin/env bash
# Type-checks packages for a target whose standard library rustup has not installed, on Debian, without touching the installed toolchain:
#   scripts/check-target.sh TARGET [cargo check arguments]
# Exit code 77: the compiler for other targets cannot be had here.
set -euo pipefail
target=${1:?usage: check-target.sh TARGET [cargo check arguments]}
shift
source "$(dirname "$0")/other-compiler.sh"
export COFFERDAM_TYPE_CHECK_ONLY=1
# Some packages have parts in C, which no types depend on: for a target without a compiler of C, or without its C library's headers, they are
# left out.
name=${target//-/_}
if ! echo '#include <stdint.h>' | "${target/-unknown/}-gcc" -x c -fsyntax-only - 2> /dev/null; then
  export "CC_$name=$PWD/scripts/no-compiler.sh" "AR_$name=$PWD/scripts/no-compiler.sh" "CFLAGS_$name="
fi
# Another compiler: what the usual one has built would be built anew each time.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/other-targets
exec cargo check -Zbuild-std --quiet --target "$target" "$@"
