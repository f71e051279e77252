#!/usr/bin/env bash
# Verifies on a Mac what cannot be verified elsewhere, and writes a report to attach to an issue:
#   scripts/verify-macos.sh [REPORT]
# It needs Rust (rustup.rs) and no rights; it works in a temporary folder of its own and leaves nothing behind but the report.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
report=$(pwd)/macos-report.md
[[ $# -gt 0 ]] && report=$1
if [[ $(uname -s) != Darwin ]]; then
  echo "verify-macos.sh: this is for a Mac; elsewhere, cargo test -p cofferdam-sandbox-macos runs what needs none" >&2
  exit 2
fi
failed=0
{
  echo "# What this Mac says to Cofferdam's profiles"
  echo
  echo "- macOS $(sw_vers -productVersion) ($(sw_vers -buildVersion)), $(uname -m)"
  echo "- Cofferdam $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
  echo "- the temporary folder's volume: $(diskutil info "$(df -P "${TMPDIR:-/tmp}" | tail -1 | cut -d' ' -f1)" 2>/dev/null | sed -n 's/^ *File System Personality: *//p')"
  echo
  echo "## Tests that run anywhere"
  echo
  echo '```'
  cargo test --quiet --package cofferdam-sandbox-macos 2>&1 | grep -E "^test result|FAILED|panicked" || failed=1
  echo '```'
  echo
  echo "## The kernel and the model"
  echo
  cargo run --quiet --package cofferdam-sandbox-macos --example verify 2>&1 || failed=1
  echo
  echo "## The plane"
  echo
  echo '```'
  bash scripts/verify-macos-plane.sh 2>&1 || failed=1
  echo '```'
} > "$report" || failed=1
grep -q "FAILED\|DIFFERENT\|WRONG\|not finished" "$report" && failed=1
echo "the report is in $report; attach it to an issue"
exit "$failed"
