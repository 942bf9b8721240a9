#!/bin/sh
# live_transcript.sh [QUESTIONS]: a transcript is fed while it is spoken, and questions are answered meanwhile.
#
#     captions | examples/live_transcript.sh
#
# What arrives on stdin is one request that lasts as long as the talk: the stream has read every word as soon as it
# is said. Questions are lines of QUESTIONS (the terminal); each is asked of a fork.
set -eu
# shellcheck source=examples/weir.sh
. "$(dirname "$0")/weir.sh"

questions=${1:-/dev/tty}
stream=${WEIR_STREAM:-$(new_stream 'The transcript of a talk.')}
[ -n "$stream" ] || exit 1
echo "stream $stream" >&2

exec 3<&0
request "/v1/streams/$stream/append" -H 'Content-Type: text/plain' -X POST -N -T - <&3 >/dev/null &
feed=$!
trap 'kill "$feed" 2>/dev/null || :' EXIT
while IFS= read -r question; do
  printf '> %s\n' "$question"
  answer "$stream" "$question"
done <"$questions"
wait "$feed" # the talk may go on when nobody asks any more
trap - EXIT
