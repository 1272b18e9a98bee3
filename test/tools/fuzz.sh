#!/usr/bin/env bash
# fuzz.sh TIME: runs every fuzz target of the module for TIME, such as 30s or 1000x.
set -euo pipefail
cd "$(dirname "$0")/../.."

# targets prints "PACKAGE TARGET" for each; go test -list ends the names of a
# package with a line "ok PACKAGE TIME".
targets() {
  go test -list '^Fuzz' ./... | awk '
    /^Fuzz/ { names[++n] = $1 }
    $1 == "ok" { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }'
}

list=$(targets)
if [ -z "$list" ]; then
  echo "fuzz: no fuzz target found" >&2
  exit 1
fi
while read -r package target; do
  echo "fuzz: $package $target"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" "$package" </dev/null
done <<<"$list"
