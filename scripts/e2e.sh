#!/usr/bin/env bash
# Runs the end-to-end tests of e2e/, a module of its own: real OpenTofu against the lab. It needs Go, a POSIX shell and
# the module proxy, and nothing else. OpenTofu is built the first time and kept in the user's cache; see
# e2e/README.md. Arguments go to `go test`. UPDATE=1 writes the plans that internal/iac's tests are given.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -buildvcs=false -o "$bin/testrun" ./scripts/testrun
cd e2e
go vet ./...
tofu=$(go run -buildvcs=false ./build)
TF_CLI_CONFIG_FILE=/dev/null "$tofu" version
if [[ -n ${UPDATE:-} ]]; then
  go test -count=1 . -run '^TestScenes$' -update
fi
"$bin/testrun" -count=1 -timeout 20m "$@" ./...
