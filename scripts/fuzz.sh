#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other, each for the time given (default 5s). A failing input is
# kept by Go under the package's testdata/fuzz and printed; commit it with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-5s}

# Only packages that hold a target are built for this: instrumenting the others costs minutes and finds nothing.
mapfile -t dirs < <(grep -rl --include='*_test.go' --exclude-dir=node_modules '^func Fuzz[A-Z]' . | xargs -r -n1 dirname | sort -u)
if [[ ${#dirs[@]} -eq 0 ]]; then
  echo "fuzz: there is no fuzz target" >&2
  exit 1
fi
n=0
for dir in "${dirs[@]}"; do
  mapfile -t targets < <(grep -ho '^func Fuzz[A-Z][A-Za-z0-9_]*' "$dir"/*_test.go | sed 's/^func //' | sort -u)
  for t in "${targets[@]}"; do
    n=$((n + 1))
    echo "fuzz: $dir $t for $time"
    log=$(mktemp)
    # -run '^$': the ordinary tests of the package are run elsewhere. The seeds are run by -fuzz itself.
    run() { go test -run '^$' -fuzz "^${t}\$" -fuzztime "$time" -timeout 10m "$dir" >"$log" 2>&1; }
    if ! run; then
      # On a busy machine Go can report its own deadline as a failure, without any input that failed. That, and only
      # that, is tried once more.
      if grep -q 'Failing input written' "$log" || ! grep -q 'context deadline exceeded' "$log" || ! run; then
        cat "$log" >&2
        rm -f "$log"
        exit 1
      fi
    fi
    if ! grep -q '^fuzz: elapsed' "$log"; then
      echo "fuzz: $t was not run:" >&2
      cat "$log" >&2
      rm -f "$log"
      exit 1
    fi
    rm -f "$log"
  done
done
echo "fuzz: $n targets, nothing found"
