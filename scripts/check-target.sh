#!/usr/bin/env bash
# Type-checks packages for a target whose standard library rustup has not installed, on Debian, without touching the installed toolchain:
#   scripts/check-target.sh TARGET [cargo check arguments]
# Debian's rustc-web and its sources are unpacked (not installed: they conflict with rustup) into a cache folder, once. Exit code 77:
# these packages cannot be had here.
set -euo pipefail
target=${1:?usage: check-target.sh TARGET [cargo check arguments]}
shift
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rust-other-targets
root=$cache/root
without() {
  echo "check-target.sh: $1" >&2
  exit 77
}
if [[ ! -x $root/usr/bin/rustc ]]; then
  for tool in apt-get apt-cache dpkg; do
    command -v "$tool" > /dev/null || without "there is no $tool here"
  done
  mkdir -p "$cache/debs"
  # Only root may renew the lists; those that are there will do.
  apt-get update -qq > /dev/null 2>&1 || true
  std=$(apt-cache depends libstd-rust-web-dev 2> /dev/null | sed -n 's/.*Depends: \(libstd-rust-web-[0-9.]*\)$/\1/p' | head -n 1)
  [[ -n $std ]] || without "this distribution has no rustc-web"
  llvm=$(apt-cache depends "$std" | sed -n 's/.*Depends: \(libllvm[0-9]*\)$/\1/p' | head -n 1)
  (cd "$cache/debs" && apt-get download -qq rustc-web libstd-rust-web-dev "$std" rust-web-src "$llvm") \
    || without "rustc-web could not be downloaded"
  rm -rf "$root.new"
  for deb in "$cache"/debs/*.deb; do dpkg -x "$deb" "$root.new"; done
  mv "$root.new" "$root"
fi
llvm_dir=$(dirname "$(find "$root/usr/lib" -name 'libLLVM.so*' | head -n 1)")
export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/usr/lib:$llvm_dir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export RUSTC=$root/usr/bin/rustc RUSTC_BOOTSTRAP=1 COFFERDAM_TYPE_CHECK_ONLY=1
# Some packages have parts in C, which no types depend on: for a target without a compiler of C they are left out.
name=${target//-/_}
if ! command -v "${target/-unknown/}-gcc" > /dev/null; then
  export "CC_$name=$PWD/scripts/no-compiler.sh" "AR_$name=$PWD/scripts/no-compiler.sh" "CFLAGS_$name="
fi
# Another compiler: what the usual one has built would be built anew each time.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/other-targets
exec cargo check -Zbuild-std --quiet --target "$target" "$@"
