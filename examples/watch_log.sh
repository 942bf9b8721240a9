#!/bin/sh
# watch_log.sh [LINES [QUESTION]]: reads a log for ever and asks about it after every LINES lines.
#
#     tail -F /var/log/syslog | examples/watch_log.sh 100 'What went wrong in these lines?'
#
# The question goes to a fork of the stream, so neither it nor the answer is ever in the log that the model reads.
# WEIR_STREAM=ID goes on with a stream that exists. WEIR_KEEP=1 also keeps a fork of the stream as it was at every
# question, for whoever wants to look into it later: its id stands before the answer.
set -eu
# shellcheck source=examples/weir.sh
. "$(dirname "$0")/weir.sh"

lines=${1:-100}
question=${2:-What went wrong in these lines?}
stream=${WEIR_STREAM:-$(new_stream 'The log of a machine, line by line.')}
[ -n "$stream" ] || exit 1
echo "stream $stream" >&2
batch=$(mktemp)
trap 'rm -f "$batch"' EXIT

read_lines() {
  count=0
  : >"$batch"
  while [ "$count" -lt "$lines" ] && IFS= read -r line; do
    printf '%s\n' "$line" >>"$batch"
    count=$((count + 1))
  done
}

while read_lines && [ "$count" -gt 0 ]; do
  request "/v1/streams/$stream/append" -H 'Content-Type: text/plain' --data-binary "@$batch" >/dev/null
  if [ -n "${WEIR_KEEP-}" ]; then
    echo "fork $(request "/v1/streams/$stream/fork" -X POST | field id)"
  fi
  answer "$stream" "$question"
done
