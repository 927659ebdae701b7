#!/usr/bin/env bash
# Fails and lists the files that are not formatted. gofumpt is stricter than gofmt; it is fetched through the module
# proxy, and where that cannot be reached this says that only gofmt was run. Changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
gofumpt=${1:-}

mapfile -t files < <(find . -name '*.go' -not -path './node_modules/*' -not -path './.git/*' -not -path './bin/*')
bad=$(gofmt -l "${files[@]}")
if [[ -z $bad && -n $gofumpt ]]; then
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if out=$(go run "$gofumpt" -l "${files[@]}" 2>"$log"); then
    bad=$out
  else
    echo "fmt: gofumpt was NOT RUN, only gofmt: $(tail -n 1 "$log")"
  fi
fi
if [[ -n $bad ]]; then
  echo "fmt: not formatted (gofmt -w, then gofumpt -w):" >&2
  echo "$bad" >&2
  exit 1
fi
echo "fmt: ${#files[@]} files are formatted"
