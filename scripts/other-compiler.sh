# For other scripts to source: a compiler whose standard library can be built for any target, as Debian's rustc-web and its sources. They are
# unpacked (not installed: they conflict with rustup) into a cache folder, once. Exits with 77 where they cannot be had.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rust-other-targets
root=$cache/root
without() {
  echo "other-compiler.sh: $1" >&2
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
export RUSTC=$root/usr/bin/rustc RUSTC_BOOTSTRAP=1
