#!/usr/bin/env bash
# Installs the Debian packages that the tests use, unless they are there.
set -euo pipefail

packages=(
  postgresql                   # the scaled-out catalog
  awscli                       # a client that recorders' scripts use
  python3-boto3                # S3 clients of operators and their scripts
  s3cmd
  rclone
  bash-completion              # completes what lethe completion bash prints
  openssl                      # checks certificates of erasure without our code
  jq                           # the same
  man-db                       # shows the manual pages
  sox                          # makes long and many-formatted calls from short ones
  asterisk-core-sounds-en-wav  # real telephony speech
  asterisk-moh-opsound-wav     # real telephony music
)
# Node brings its own npm when it is not Debian's, and then npm is no package.
command -v npm >/dev/null || packages+=(nodejs npm)  # runs the AWS SDK for JavaScript, which wants Node 20

missing=()
for p in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "installing: ${missing[*]}" >&2
# A package may not start its server: the tests start their own.
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
