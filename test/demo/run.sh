#!/usr/bin/env bash
# run.sh LETHE [DIR [PORT]]: the main job on the embedded default.
#
# Serves from DIR (default demo-data) on PORT, PORT+1 and PORT+2 (default 9000)
# of the loopback address, stores the calls beside this script, says how to use
# the server from another terminal, and stays up until Ctrl-C. A directory that
# has been used before is used again, with the same keys.
set -euo pipefail
umask 077

lethe=$1
dir=${2:-demo-data}
port=${3:-9000}
calls=("$(dirname "$0")"/calls/*.wav)
folder=2026/11/23

fail() {
  printf 'demo: %s\n' "$*" >&2
  exit 1
}

# start serves in a process group of its own, so that Ctrl-C reaches only us.
start() {
  : >"$dir/ready.json"
  set -m
  "$lethe" serve --data "$dir" --listen-s3 "127.0.0.1:$port" \
    --listen-api "127.0.0.1:$((port + 1))" --listen-ops "127.0.0.1:$((port + 2))" \
    >"$dir/ready.json" 2>>"$dir/server.log" &
  server=$!
  set +m
  trap stop EXIT
  trap exit INT TERM HUP
  until [ -s "$dir/ready.json" ]; do
    kill -0 "$server" 2>/dev/null || not_started
    sleep 0.1
  done
}

not_started() {
  local why
  why=$(tail -n 1 "$dir/server.log")
  if [[ $why == *'address already in use'* ]]; then
    fail "ports $port to $((port + 2)) are not all free; take others: make run PORT=$((port + 100))"
  fi
  fail "the server did not start: $why"
}

stop() {
  trap - EXIT INT TERM HUP
  kill "$server" 2>/dev/null && echo 'stopping the server' >&2
  wait "$server" || true
}

# set_up creates the tenant and its bucket, unless they are there already. A
# tenant that was revoked is restored; one that was erased is gone, and so are
# its keys.
set_up() {
  local said
  if said=$("$lethe" --data "$dir" tenant create demo 2>&1); then
    rm -f "$dir/recorder.env" "$dir/reader.env"
  elif [[ $said == *"(tenant-exists,"* ]]; then
    "$lethe" --data "$dir" tenant restore demo >/dev/null
  else
    fail "$said"
  fi
  if ! said=$("$lethe" --data "$dir" bucket create --tenant demo calls 2>&1) &&
    [[ $said != *"(bucket-exists,"* ]]; then
    fail "$said"
  fi
}

# keys KIND NAME keeps the keys of a new recorder or reader, since they are
# shown once, in DIR/KIND.env, as a shell reads them.
keys() {
  local file=$dir/$1.env pair access secret
  [ -s "$file" ] && return
  pair=$("$lethe" --data "$dir" "$1" create --tenant demo "$2" --bucket calls)
  access=$(awk '/^access key/ {print $3}' <<<"$pair")
  secret=$(awk '/^secret key/ {print $3}' <<<"$pair")
  cat >"$file.new" <<END
export LETHE_ACCESS_KEY=$access LETHE_SECRET_KEY=$secret
export AWS_ACCESS_KEY_ID=$access AWS_SECRET_ACCESS_KEY=$secret AWS_DEFAULT_REGION=us-east-1
END
  mv "$file.new" "$file"
}

# as KIND COMMAND...: lethe with the keys of a recorder or reader.
as() (
  # shellcheck disable=SC1090 # keys wrote it
  . "$dir/$1.env"
  "$lethe" --data "$dir" "${@:2}"
)

upload() {
  local call
  for call in "${calls[@]}"; do
    as recorder put "$call" --bucket calls --name "$folder/$(basename "$call")" \
      --subject +12025550143 --call c-1001
    echo
  done
}

explain() {
  local aws="aws --endpoint-url http://127.0.0.1:$port s3api"
  local first here
  first=$folder/$(basename "${calls[0]}")
  here=$(printf %q "$dir")
  cat <<END

S3    http://127.0.0.1:$port    path style; any region; buckets: calls
API   http://127.0.0.1:$((port + 1))    its owner's token is in $dir/owner.token
ops   http://127.0.0.1:$((port + 2))    /healthz /readyz /metrics

Paste these into another terminal.

cd $(printf %q "$PWD")
export LETHE_S3=127.0.0.1:$port

# a recorder: may write to bucket calls, and nothing else
$(cat "$dir/recorder.env")
$aws put-object --bucket calls --key $folder/mine.wav --body ${calls[0]} --metadata lethe-subject=+12025550187
$lethe put ${calls[0]} --bucket calls --name $folder/mine-too.wav --subject +12025550187

# a reader: may list and open
$(cat "$dir/reader.env")
$aws get-object --bucket calls --key $first --range bytes=0-65535 $here/first-64k.wav
$lethe ls calls
$lethe get calls/$first $here/whole.wav

# the owner: refuses all of it, permits it again, or erases one call or all of it for good
$lethe --data $here tenant revoke demo
$lethe --data $here tenant restore demo
# $lethe --data $here erase --tenant demo --recording calls/2026/11/23/claim-mono-pcm.wav --wait
# $lethe --data $here tenant erase demo --wait

Everything is in $dir; remove it to start afresh. Ctrl-C stops the server.
END
}

[ -f "${calls[0]}" ] || fail "no sample calls in $(dirname "$0")/calls"
mkdir -p "$dir"
start
set_up
keys recorder pbx
keys reader quality
upload
as reader ls calls
explain
trap 'exit 0' INT TERM # how it is meant to end
wait "$server" || fail "the server ended; $dir/server.log says why"
