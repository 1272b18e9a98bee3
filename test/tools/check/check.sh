#!/usr/bin/env bash
# check.sh runs every check that is not a test, to the end, and fails if one did.
set -uo pipefail
cd "$(dirname "$0")/../../.."

failed=()

# check NAME COMMAND...: runs one check.
check() {
  echo "check: $1"
  "${@:2}" || failed+=("$1")
}

unformatted() {
  local files
  files=$(gofmt -l .)
  [ -z "$files" ] || { echo "$files"; return 1; }
}

tool() { go tool -modfile=test/tools/check/go.mod "$@"; }

# vulnerabilities passes where the database cannot be reached, and says so.
vulnerabilities() {
  local said
  said=$(tool govulncheck ./... 2>&1) && return
  if [[ $said == *"fetching vulnerabilities:"* ]]; then
    echo "NOT CHECKED: ${said##*fetching vulnerabilities: }"
    return
  fi
  echo "$said"
  return 1
}

crypto_under_fips() { GODEBUG=fips140=only go test ./crypto/...; }

shell_scripts() { git ls-files -co --exclude-standard -- '*.sh' .ci/run | xargs shellcheck; }

check gofmt unformatted
check 'go mod tidy' go mod tidy -diff
check 'go mod verify' go mod verify
check 'go vet' go vet ./...
check staticcheck tool staticcheck ./...
check govulncheck vulnerabilities
check 'crypto under fips140=only' crypto_under_fips
command -v shellcheck >/dev/null && check shellcheck shell_scripts

[ ${#failed[@]} -eq 0 ] && exit 0
printf 'check: %s failed\n' "${failed[@]}" >&2
exit 1
