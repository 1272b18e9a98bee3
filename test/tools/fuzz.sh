#!/usr/bin/env bash
# fuzz.sh TIME: runs every fuzz target of the module for TIME, such as 30s or
# 1000x, one on each processor at a time. A package is built once for all of its targets.
set -euo pipefail
cd "$(dirname "$0")/../.."

built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT

# targets builds every package with fuzz targets once, and prints "PACKAGE DIRECTORY
# BINARY TARGET" for each.
targets() {
  local file target package binary
  grep -rno --include='*_test.go' '^func Fuzz[A-Za-z0-9]*' . | sort | while IFS=: read -r file _ target; do
    package=$(go list "$(dirname "$file")")
    binary=$built/${package//\//_}
    [ -e "$binary" ] || go test -c -fuzz . -o "$binary" "$package" >&2 || return 1
    echo "$package $(dirname "$file") $binary ${target#func }"
  done
}

# fuzz TIME CACHE PACKAGE DIRECTORY BINARY TARGET: prints one line, or all that was
# said if it failed. Go would spend up to a minute on making each input smaller that
# reaches new code, which is all of TIME where inputs are long.
fuzz() {
  local said
  if said=$(cd "$4" && "$5" -test.run '^$' -test.fuzz "^$6\$" -test.fuzztime "$1" -test.fuzzcachedir "$2/$3" \
    -test.parallel 1 -test.fuzzminimizetime 20x -test.timeout 0 -test.paniconexit0 </dev/null 2>&1); then
    echo "fuzz: $3 $6: $(grep -o 'execs: [0-9]*' <<<"$said" | tail -n 1)"
  elif grep -q 'context deadline exceeded' <<<"$said" && ! grep -q 'Failing input written' <<<"$said"; then
    echo "fuzz: $3 $6: time was up, go.dev/issue/75804" # go 1.26 takes its own deadline for a failure at times
  else
    printf 'fuzz: %s %s FAILED\n%s\n' "$3" "$6" "$said"
    return 1
  fi
}
export -f fuzz

list=$(targets)
if [ -z "$list" ]; then
  echo "fuzz: no fuzz target found" >&2
  exit 1
fi
xargs -P "$(nproc)" -L 1 bash -c 'fuzz "$@"' fuzz "$1" "$(go env GOCACHE)/fuzz" <<<"$list"
