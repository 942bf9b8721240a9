# serve --store: streams are killed with the server, again and again, and go on as twins that nobody killed;
# idle ones leave memory and come back; a full disk is said and loses nothing that was stored.
# shellcheck source=tests/cli/serve_lib.sh
. "$(dirname "$0")/serve_lib.sh"

model=$dir/model.gguf
make_model "$model"
always='--threads 1 --sinks 4 --window 28'

# What the K-th request to a stream is; what it makes goes to $dir/made.
request() {
  case $(($1 % 5)) in
    0) ask "/v1/streams/$stream/append" "{\"text\": \"line $1 of the river, and the mill hums \"}" ;;
    1) ask "/v1/streams/$stream/generate" '{"max_tokens": 9, "temperature": 1, "seed": 3, "ignore_eos": true}' ;;
    2) ask "/v1/streams/$stream/append" "{\"messages\": [{\"role\": \"user\", \"content\": \"message $1\"}]}" ;;
    3) ask "/v1/streams/$stream/generate" '{"text": "and so", "max_tokens": 5, "temperature": 0, "ignore_eos": true}' ;;
    4) ask "/v1/streams/$stream/append" '{"text": "half a wor"}' ;;
  esac
  [ "$status" = 200 ] || return 1
}

# ---- the twin, whom nobody kills -----------------------------------------------------------------

count=30
start
new_stream '{"seed": 5}'
: >"$dir/twin"
k=0
while [ $k -lt $count ]; do
  request $k || fail "request $k of the twin: $status $(head -c 300 "$dir/out")"
  case $((k % 5)) in 1 | 3) json "$dir/out" text >>"$dir/twin" ;; esac
  k=$((k + 1))
done
look "/v1/streams/$stream"
index=$(json "$dir/out" index)
evicted=$(json "$dir/out" evicted)
ok 'the twin went far past its window' test "$evicted" -gt 100
equal 'nothing is stored without a store' "$(json "$dir/out" stored)" false
stop

# ---- killed after every third answer, and now and then in the middle of one ------------------------

start --store "$dir/store"
new_stream '{"seed": 5}'
: >"$dir/killed"
k=0
while [ $k -lt $count ]; do
  request $k || fail "request $k: $status $(head -c 300 "$dir/out")"
  case $((k % 5)) in 1 | 3) json "$dir/out" text >>"$dir/killed" ;; esac
  k=$((k + 1))
  if [ $((k % 3)) -eq 0 ]; then
    murder
    if [ $((k % 2)) -eq 0 ]; then start --store "$dir/store"; else
      start --store "$dir/store" --power-safe --streams 8 --rows 8
    fi
  fi
done
look "/v1/streams/$stream"
equal 'it read as much' "$(json "$dir/out" index)" "$index"
equal 'and forgot as much' "$(json "$dir/out" evicted)" "$evicted"
equal 'it is stored' "$(json "$dir/out" stored)" true
ok 'the same text' cmp "$dir/twin" "$dir/killed"

# in the middle: whatever was acknowledged before is there
new_stream '{"seed": 6}'
ask "/v1/streams/$stream/append" '{"text": "something that was acknowledged", "flush": true}'
before=$(json "$dir/out" index)
curl -s -m 60 -N "$base/v1/streams/$stream/generate" -H 'Content-Type: application/json' \
  -d '{"max_tokens": 50000, "stream": true, "ignore_eos": true}' >"$dir/events" 2>/dev/null &
reader=$!
wait_for 'some tokens' grep -q '^event: token' "$dir/events"
murder
wait "$reader" 2>/dev/null || :
start --store "$dir/store"
look "/v1/streams/$stream"
after=$(json "$dir/out" index)
ok "what was acknowledged is there ($before, $after)" test "$after" -ge "$before"
ok 'and it goes on' request 1

# ---- forks, ends in order, deletion ----------------------------------------------------------------

ask "/v1/streams/$stream/fork" '{}'
equal 'forked' "$status" 201
fork=$(json "$dir/out" id)
stop
start --store "$dir/store"
ok 'nothing to feed again after an end in order' test "$(metric tokens_fed_total)" = 0
parent=$stream
request 1
json "$dir/out" text >"$dir/a"
stream=$fork
request 1
json "$dir/out" text >"$dir/b"
ok 'a fork and its parent go on alike' cmp "$dir/a" "$dir/b"
look "/v1/streams/$parent" -X DELETE
murder
start --store "$dir/store"
look "/v1/streams/$parent"
equal 'a deleted stream is gone' "$status" 404
look /v1/streams
ok 'the others are listed' grep -q "$fork" "$dir/out"
ok 'on disk alone' grep -q '"loaded": *false' "$dir/out"
stop

# ---- memory for one stream, and three of them --------------------------------------------------------

start --store "$dir/store" --idle 1
stream=$fork
in_memory() { request 0 && metric_is streams 1; }
wait_for 'the stream in memory' in_memory
left() { [ "$(metric streams)" = 0 ]; }
wait_for 'the idle stream to leave memory' left
look "/v1/streams/$stream"
equal 'it comes back by itself' "$status" 200
stop

# ---- marks, and what was said --------------------------------------------------------------------------------

always="$always --template plain"
start --store "$dir/marks"
new_stream '{"seed": 7, "system": "Of the river."}'
sleep 0.3 # the server looks after its streams
equal 'one that was just created is not idle' "$(metric streams)" 1
going_on() {
  ask "/v1/streams/$stream/generate" '{"max_tokens": 70, "temperature": 1, "seed": 4, "ignore_eos": true}'
  json "$dir/out" text >"$1"
}
request 0
ask "/v1/streams/$stream/marks" '{"name": "early"}'
is 201 'marked'
early=$(json "$dir/out" index)
going_on "$dir/from_early"
ask "/v1/streams/$stream/append" '{"messages": [{"role": "user", "content": "Is the m\u00fchle open?"}]}'
ask "/v1/streams/$stream/marks" '{"name": "late"}'
going_on "$dir/from_late"
murder
start --store "$dir/marks"
look "/v1/streams/$stream"
equal 'two marks' "$(json "$dir/out" marks.1.name)" late
equal 'where they were' "$(json "$dir/out" marks.0.index)" "$early"
equal 'on disk' "$(json "$dir/out" marks.0.stored)" true
for mark in early late early; do
  ask "/v1/streams/$stream/rewind" "{\"mark\": \"$mark\"}"
  is 200 "back to $mark"
  going_on "$dir/again"
  ok "from $mark as before" cmp "$dir/from_$mark" "$dir/again"
done
ask "/v1/streams/$stream/marks" '{"name": "third"}'
planned=$(metric memory_planned_bytes)
ask "/v1/streams/$stream/rewind" '{"mark": "late"}'
is 200 'from disk, with another in memory'
ok 'whose memory is given back' test "$(metric memory_planned_bytes)" -lt "$planned"
ask "/v1/streams/$stream/rewind" '{"mark": "third"}'
is 200 'which is on disk as well'
look "/v1/streams/$stream/marks/third" -X DELETE
is 200 'unmarked'
murder
start --store "$dir/marks" --idle 1
look "/v1/streams/$stream"
ok 'a mark that was taken away does not come back' not grep -q third "$dir/out"
wait_for 'the marked stream to leave memory' left
ask "/v1/streams/$stream/rewind" '{"mark": "late"}'
is 200 'and come back'
going_on "$dir/again"
ok 'as before' cmp "$dir/from_late" "$dir/again"

look "/v1/streams/$stream/text"
is 200 'its text'
equal 'what was given first' "$(json "$dir/out" data.0.kind)" given
equal 'and its words' "$(json "$dir/out" data.0.text)" 'Of the river.'
equal 'then' "$(json "$dir/out" data.1.text)" 'line 0 of the river, and the mill hums '
says '"kind":"message","text":"Is the mühle open?","role":"user"'
says "\"kind\":\"moved\",\"to\":$early"
made=$("$check_json" data.2.text <"$dir/out")
equal 'what was made' "$made" "$(cat "$dir/from_early")"
entries=$(json "$dir/out" entries)
equal 'all of it' "$(json "$dir/out" next)" "$entries"
at=0
pages=0
: >"$dir/paged"
while [ "$at" -lt "$entries" ]; do
  look "/v1/streams/$stream/text?from=$at&bytes=1"
  is 200 'a page'
  after=$(json "$dir/out" next)
  ok 'goes on' test "$after" -gt "$at"
  at=$after
  pages=$((pages + 1))
done
ok 'in pages' test $pages -gt 5
look "/v1/streams/$stream/text?from=-1"
equal 'the last entry' "$(json "$dir/out" data.0.entry)" $((entries - 1))
look "/v1/streams/$stream/text?from=99999999"
equal 'behind the end is nothing' "$(json "$dir/out" next)" 99999999
look "/v1/streams/$stream/text?form=1"
refused 400 'is no field'
look "/v1/streams/$stream/text?from=1.5"
refused 400 'whole number'
look "/v1/streams/$stream/text?bytes=0"
refused 400 'from 1 to'
look "/v1/streams/none/text"
refused 404 'no such stream'
# bytes that are no text
printf '\303(\377\355\240\200 caf\303' >"$dir/bytes"
look "/v1/streams/$stream/append" -H 'Content-Type: text/plain' --data-binary "@$dir/bytes"
is 200 'appended'
look "/v1/streams/$stream/text?from=-4"
says '�(���� caf�'
stop

# ---- a full disk ---------------------------------------------------------------------------------------

if command -v prlimit >/dev/null; then
  under="prlimit --fsize=300000:"
  start --store "$dir/full"
  new_stream '{"seed": 7}'
  words=$(printf 'the river runs on and on %.0s' $(seq 200))
  tries=0
  ask "/v1/streams/$stream/append" "{\"text\": \"$words\"}"
  while [ "$(json "$dir/out" stored)" = true ]; do
    tries=$((tries + 1))
    [ $tries -lt 500 ] || fail 'the disk never got full'
    stored=$(json "$dir/out" index)
    ask "/v1/streams/$stream/append" "{\"text\": \"$words\"}"
  done
  equal 'it goes on in memory' "$status" 200
  ok 'further than what is stored' test "$(json "$dir/out" index)" -gt "$stored"
  # between two requests a snapshot may have found room once more
  degraded() {
    ask "/v1/streams/$stream/append" "{\"text\": \"$words\"}"
    look /health
    [ "$(json "$dir/out" status)" = degraded ]
  }
  wait_for 'health to say so' degraded
  ok 'and the log' grep -q '"event":"store"' "$dir/log"
  prlimit --pid "$server" --fsize=unlimited
  well() { look /health && [ "$(json "$dir/out" status)" = ok ]; }
  wait_for 'the store to catch up' well
  look "/v1/streams/$stream"
  whole=$(json "$dir/out" index)
  murder
  under=
  start --store "$dir/full"
  look "/v1/streams/$stream"
  equal 'all of it is stored now' "$(json "$dir/out" index)" "$whole"
  stop
fi

# ---- stores that are refused --------------------------------------------------------------------------

"$weir" make-random --out "$dir/other.gguf" --vocabulary 512 --seed 4 --context 128
fails 'another model' serve "$dir/other.gguf" --listen 127.0.0.1:0 --store "$dir/store"
fails 'cannot be made' serve "$model" --listen 127.0.0.1:0 --store "$dir/no/where"
refuses '--rows 8 is too few for --streams 9' serve "$model" --listen 127.0.0.1:0 --rows 8 --streams 9
refuses '--power-safe belongs to --store' serve "$model" --listen 127.0.0.1:0 --power-safe
refuses 'belongs to --store' serve "$model" --listen 127.0.0.1:0 --idle 5
start --store "$dir/store"
refuses 'in use by another process' serve "$model" --listen 127.0.0.1:0 --store "$dir/store"
stop
done_with
