#!/bin/sh
# A body of a million tokens, appended to one stream: accepted, fed while it arrives, in memory that does not grow,
# with its progress in the events.
#
#     bench/serve_million.sh [--bytes N] MODEL.gguf [OPTION OF weir serve...]
#
# Sends --bytes (4000000: more than a million tokens of weir-small) of models/prose.txt, over and over, and shows the
# server's RssAnon every 5 seconds beside the index that its events tell. Fails when fewer than a million tokens were
# appended, when an event is missing, or when memory grew by more than 1 MB after the first 20,000 tokens. WEIR names
# the program, else it is build/weir.
set -eu
weir=${WEIR:-$(dirname "$0")/../build/weir}
prose=$(dirname "$0")/../models/prose.txt
bytes=4000000
if [ "${1:-}" = --bytes ]; then
  bytes=$2
  shift 2
fi
if [ $# -lt 1 ]; then
  echo "usage: $0 [--bytes N] MODEL.gguf [OPTION...]" >&2
  exit 2
fi
dir=$(mktemp -d)
server='' listener=''
trap 'kill $listener $server 2>/dev/null; rm -rf "$dir"' EXIT

stop() {
  echo "$0: $*" >&2
  exit 1
}
number() { sed -n 's/.*"'"$1"'":\([0-9]*\).*/\1/p' "$2" | tail -n 1; }
resident() { sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$server/status"; }

"$weir" serve "$@" --listen 127.0.0.1:0 --quiet >"$dir/address" &
server=$!
until [ -s "$dir/address" ]; do
  kill -0 "$server" || stop 'the server does not start'
  sleep 0.1
done
base=$(cat "$dir/address")
curl -s "$base/v1/streams" -H 'Content-Type: application/json' -d '{}' >"$dir/state"
id=$(sed 's/.*"id": *"\([^"]*\)".*/\1/' "$dir/state")
curl -s -N "$base/v1/streams/$id/events" >"$dir/events" &
listener=$!
until grep -q '^event: state' "$dir/events"; do # it listens: no event is missed
  kill -0 "$listener" || stop 'no events'
  sleep 0.1
done
fed() { sed -n 's/^data: {"index":\([0-9]*\),"tokens":\([0-9]*\)}$/\1 \2/p' "$dir/events"; }

while :; do cat "$prose"; done 2>/dev/null | head -c "$bytes" |
  curl -s -T - -X POST "$base/v1/streams/$id/append" -H 'Content-Type: text/plain' >"$dir/appended" &
client=$!
warm=''
while kill -0 "$client" 2>/dev/null; do
  sleep 5
  index=$(fed | tail -n 1 | cut -d ' ' -f 1)
  memory=$(resident)
  echo "${index:-0} tokens, RssAnon $memory kB"
  if [ -z "$warm" ] && [ "${index:-0}" -gt 20000 ]; then warm=$memory; fi
done
wait "$client"
appended=$(number appended "$dir/appended")
sleep 1
told=$(fed | awk '{ sum += $2 } END { print sum + 0 }')
steps=$(fed | wc -l)
memory=$(resident)
echo "$appended tokens appended in one body, told in $steps events; RssAnon $memory kB at the end, $warm kB after 20,000"
[ "$appended" -ge 1000000 ] || stop 'not a million tokens'
[ "$told" -eq "$appended" ] || stop "the events tell of $told tokens"
[ $((memory - warm)) -le 1024 ] || stop 'memory grew'
