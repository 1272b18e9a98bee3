#!/usr/bin/env bash
# fuzz.sh TIME: runs every fuzz target of the module for TIME, such as 30s or
# 1000x, one on each processor at a time.
set -euo pipefail
cd "$(dirname "$0")/../.."

# targets prints "PACKAGE TARGET" for each; go test -list ends the names of a
# package with a line "ok PACKAGE TIME".
targets() {
  go test -list '^Fuzz' ./... | awk '
    /^Fuzz/ { names[++n] = $1 }
    $1 == "ok" { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }'
}

# fuzz TIME PACKAGE TARGET: prints one line, or all that was said if it failed.
fuzz() {
  local said
  if said=$(go test -run '^$' -fuzz "^$3\$" -fuzztime "$1" -parallel 1 -timeout 0 "$2" </dev/null 2>&1); then
    echo "fuzz: $2 $3: $(grep -o 'execs: [0-9]*' <<<"$said" | tail -n 1)"
  elif grep -q 'context deadline exceeded' <<<"$said" && ! grep -q 'Failing input written' <<<"$said"; then
    echo "fuzz: $2 $3: time was up, go.dev/issue/75804" # go 1.26 takes its own deadline for a failure at times
  else
    printf 'fuzz: %s %s FAILED\n%s\n' "$2" "$3" "$said"
    return 1
  fi
}
export -f fuzz

list=$(targets)
if [ -z "$list" ]; then
  echo "fuzz: no fuzz target found" >&2
  exit 1
fi
xargs -P "$(nproc)" -L 1 bash -c 'fuzz "$@"' fuzz "$1" <<<"$list"
