#!/usr/bin/env bash
# Makes the sample calls in calls/: a two-party conversation spoken by
# espeak-ng, agent on the left, caller on the right, at telephony's 8 kHz.
# The results are in the repository, so only their maker needs espeak-ng and sox.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { # FILE VOICE PITCH TEXT
  espeak-ng -v "$2" -p "$3" -s 165 -w "$work/raw.wav" "$4"
  sox -q "$work/raw.wav" -r 8000 -c 1 -b 16 "$work/$1" gain -3
}

# turn FILE WHO: appends FILE to WHO's side and as much silence to the other's.
turn() {
  local other=caller
  [ "$2" = caller ] && other=agent
  local length
  length=$(soxi -D "$work/$1")
  sox -q -n -r 8000 -c 1 -b 16 "$work/quiet.wav" trim 0 "$length"
  cp "$work/$1" "$work/piece-$2.wav"
  cp "$work/quiet.wav" "$work/piece-$other.wav"
  for side in agent caller; do
    if [ -f "$work/$side.wav" ]; then
      sox -q "$work/$side.wav" "$work/piece-$side.wav" "$work/joined.wav"
    else
      cp "$work/piece-$side.wav" "$work/joined.wav"
    fi
    mv "$work/joined.wav" "$work/$side.wav"
  done
}

say 1.wav en-us+f3 60 "Northern Insurance, this is Dana. How can I help?"
say 2.wav en-gb+m3 35 "Hello. My windscreen was broken last night, and I want to report it."
say 3.wav en-us+f3 60 "I am sorry to hear that. I am opening a claim for you now."
say 4.wav en-gb+m3 35 "Thank you. That was quick."
turn 1.wav agent; turn 2.wav caller; turn 3.wav agent; turn 4.wav caller

mkdir -p calls
sox -q -M "$work/agent.wav" "$work/caller.wav" -e u-law calls/claim-stereo-ulaw.wav
sox -q -m "$work/agent.wav" "$work/caller.wav" -b 16 -e signed-integer calls/claim-mono-pcm.wav trim 0 8
ls -l calls
