#!/usr/bin/env bash
# Runs `go test` under the race detector through scripts/testrun, which keeps the output readable and lists what was
# skipped. With CI=true a skipped test is a failed one.
set -euo pipefail
cd "$(dirname "$0")/.."

race=(-race)
if ! { [[ $(go env CGO_ENABLED) == 1 ]] && echo 'int main(void){return 0;}' | "$(go env CC)" -x c - -o /dev/null 2>/dev/null; }; then
  if [[ ${CI:-} == true ]]; then
    echo "test: the race detector needs a C compiler, and there is none" >&2
    exit 1
  fi
  echo "test: NO RACE DETECTOR: it needs a C compiler, and there is none" >&2
  race=()
fi
# Built first rather than run by `go run`, which would hide the exit status and swallow an interrupt.
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -buildvcs=false -o "$bin/testrun" ./scripts/testrun
"$bin/testrun" -count=1 "${race[@]}" "$@"
