# serve --memory: what embeddings are computed in is promised like everything else.
# shellcheck source=tests/cli/serve_lib.sh
. "$(dirname "$0")/serve_lib.sh"

model=$dir/model.gguf
make_model "$model"
always='--threads 1 --sinks 4 --window 28'
embed() { ask /v1/embeddings '{"input": "the river"}'; }

# ---- the first request reserves it ----------------------------------------------------------------------

start
batch=$(metric memory_planned_bytes)
new_stream '{}'
one=$(($(metric memory_planned_bytes) - batch)) # a stream
before=$(metric memory_planned_bytes)
embed
is 200 'vectors'
vectors=$(($(metric memory_planned_bytes) - before))
ok 'they take memory' test "$vectors" -gt 10000
embed
is 200 'again'
equal 'and no more of it' "$(metric memory_planned_bytes)" $((before + vectors))
stop

# ---- kept streams make room; others do not -----------------------------------------------------------------

start --memory $((batch + vectors + 3 * one))
words='the river runs on, and the mill hums by the weir all day and all night'
for i in 1 2 3 4 5 6 7 8; do
  ask /v1/completions "{\"prompt\": \"$i $words\", \"max_tokens\": 2}"
  is 200 'a completion'
done
kept=$(metric streams_kept)
ok "some are kept ($kept)" test "$kept" -ge 2
embed
is 200 'vectors'
ok 'within the limit' test "$(metric memory_planned_bytes)" -le $((batch + vectors + 3 * one))
stop

start --memory $((batch + vectors + one - 1))
new_stream '{}'
embed
refused 503 'embeddings take'
equal 'to be tried again' "$(sed -n 's/^[Rr]etry-[Aa]fter: *//p' "$dir/head" | tr -d '\r' | wc -l | tr -d ' ')" 1
look "/v1/streams/$stream" -X DELETE
embed
is 200 'when there is room'
ask /v1/streams '{}'
refused 503 'no room'
stop

start --memory $((batch + one)) # one that never fits, unless it is smaller than a stream and the batch
if [ "$vectors" -gt $((batch + one)) ]; then
  embed
  refused 400 'embeddings take'
fi
stop

# ---- an encoder --------------------------------------------------------------------------------------------

model=$dir/encoder.gguf
"$weir" make-random --out "$model" --family bert --vocabulary 512 --seed 3 --context 64
always='--threads 1'
start
vectors=$(metric memory_planned_bytes)
ok 'planned' test "$vectors" -gt 10000
embed
is 200 'vectors'
stop
start --memory "$vectors"
embed
is 200 'in just as much'
stop
refuses 'embeddings take' serve "$model" --listen 127.0.0.1:0 --threads 1 --memory $((vectors - 1))
done_with
