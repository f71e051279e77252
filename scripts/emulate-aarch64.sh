#!/usr/bin/env bash
# Builds keeper, launcher and a trial of their raw calls for Linux on AArch64, to be run under an emulator, and prints where they are, one a line:
#   scripts/emulate-aarch64.sh
# All are freestanding, so that nothing of a system for that machine is needed but a linker. Exit code 77: linker, emulator or compiler
# cannot be had here.
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
without() {
  echo "emulate-aarch64.sh: $1" >&2
  exit 77
}
if ! command -v qemu-aarch64 > /dev/null || ! command -v aarch64-linux-gnu-gcc > /dev/null; then
  [[ $(id -u) == 0 ]] && command -v apt-get > /dev/null || without "qemu-user and gcc-aarch64-linux-gnu are not installed"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends qemu-user gcc-aarch64-linux-gnu; } > /dev/null 2>&1 \
    || without "qemu-user and gcc-aarch64-linux-gnu cannot be installed"
fi
# Where rust-src of rustup is missing, the compiler that types are checked with has its library's sources.
source scripts/other-compiler.sh
out=${CARGO_TARGET_DIR:-target}/emulated
export CARGO_TARGET_DIR=$out
link="-C linker=aarch64-linux-gnu-gcc -C relocation-model=static -C link-arg=-nostartfiles -C link-arg=-nostdlib -C link-arg=-static"
export RUSTFLAGS="--cap-lints warn -A warnings $link -C link-arg=-Wl,--build-id=none,-z,noexecstack,-z,norelro -C panic=abort"
# Warnings are for those who build them for their own machine.
for manifest in plane-kit/keeper sandbox-linux/launcher plane-kit/freestanding/trial; do
  cargo build --quiet --release -Zbuild-std=core --target "$target" --manifest-path "$manifest/Cargo.toml" >&2
done
find "$(realpath "$out")/$target/release" -maxdepth 1 -type f -executable | sort
