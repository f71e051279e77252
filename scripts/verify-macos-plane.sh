#!/usr/bin/env bash
# Runs programs on the macOS plane and looks at what happened, a line for each; WRONG begins what was not as it must be.
# `scripts/verify-macos.sh` calls it.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
cargo build --quiet --package cofferdam-cli || { echo "WRONG: the command does not build"; exit 1; }
target=${CARGO_TARGET_DIR:-target}; [[ $target == /* ]] || target=$(pwd)/$target
cofferdam=$target/debug/cofferdam
place=$(mktemp -d) || exit 2
trap 'rm -rf "$place"' EXIT
export XDG_STATE_HOME=$place/state
mkdir -p "$place/work/.git/hooks" "$place/other"
echo secret > "$place/other/secret"
cat > "$place/policy.toml" << 'POLICY'
version = 1
extends = "dev"
[isolation]
require = "landlock"
POLICY
wrong=0
run() { (cd "$place/work" && "$cofferdam" run --no-tty --policy "$place/policy.toml" "$@"); }
must() { if [[ $2 == "$3" ]]; then echo "as it must be: $1"; else echo "WRONG: $1: '$2', not '$3'"; wrong=1; fi; }
"$cofferdam" doctor || wrong=1
must "a program prints" "$(run -- /bin/echo said 2>&1 | tail -1)" said
run -- /bin/sh -c 'exit 7' > /dev/null 2>&1
must "its exit code is told" $? 7
run -- /bin/sh -c 'echo x > made' > /dev/null 2>&1
must "the workspace is written to" "$(cat "$place/work/made" 2> /dev/null)" x
run -- /bin/sh -c "echo x > .git/hooks/pre-commit" > /dev/null 2>&1
must "a hook is not" "$(ls "$place/work/.git/hooks")" ""
must "what lies elsewhere is not read" "$(run -- /bin/cat "$place/other/secret" 2> /dev/null)" ""
must "nothing crosses of the environment" "$(HUSH=1 run -- /bin/sh -c 'echo $HUSH' 2> /dev/null | tail -1)" ""
run -- /bin/sh -c "(sleep 1234 &) ; exit 0" > /dev/null 2>&1
must "what it leaves behind ends with it" "$(pgrep -f 'sleep 1234')" ""
# A daemon: forked twice, in a session and a group of its own.
run -- /usr/bin/perl -MPOSIX -e 'if (!fork) { setsid; if (!fork) { exec "sleep", "1235" } sleep 1; exit } sleep 2' > /dev/null 2>&1
must "so does a daemon" "$(pgrep -f 'sleep 1235')" ""
run -- /bin/sleep 1236 > /dev/null 2>&1 &
host=$!
for _ in $(seq 100); do pgrep -f 'sleep 1236' > /dev/null && break; sleep 0.1; done
# The subshell's child is the command itself.
pkill -KILL -P "$host" 2> /dev/null; kill -KILL "$host" 2> /dev/null
for _ in $(seq 50); do pgrep -f 'sleep 1236' > /dev/null || break; sleep 0.1; done
must "nothing outlives a host that is killed" "$(pgrep -f '^(/bin/)?sleep 1236')" ""
run -- /usr/bin/curl --max-time 5 -s https://example.com > /dev/null 2>&1
[[ $? != 0 ]] && echo "as it must be: no network" || { echo "WRONG: the network was reached"; wrong=1; }
cat >> "$place/policy.toml" << 'POLICY'
[network]
mode = "allowlist"
allow = ["example.com:443"]
POLICY
must "a host by name" "$(run -- /usr/bin/curl --max-time 20 -s -o /dev/null -w '%{http_code}' https://example.com 2> /dev/null | tail -1)" 200
run -- /usr/bin/curl --max-time 10 -s https://example.org > /dev/null 2>&1
[[ $? != 0 ]] && echo "as it must be: no other host" || { echo "WRONG: another host was reached"; wrong=1; }
run -- /usr/bin/curl --noproxy '*' --max-time 10 -s https://example.com > /dev/null 2>&1
[[ $? != 0 ]] && echo "as it must be: not past the proxy" || { echo "WRONG: reached past the proxy"; wrong=1; }
exit "$wrong"
