# serve: OpenAI's endpoints and /v1/streams give what `weir run` gives; limits refuse; ends in order.
# shellcheck source=tests/cli/serve_lib.sh
. "$(dirname "$0")/serve_lib.sh"

model=$dir/model.gguf
make_model "$model"
prompt='the river runs on, and the mill hums by the weir all day and all night'

# ---- text ---------------------------------------------------------------------------------------

start --sinks 4 --window 28 --max-tokens 1000000000 --drain 300
look "/health"
is 200 'health'
equal 'healthy' "$(json "$dir/out" status)" ok
look "/v1/models"
equal 'the model' "$(json "$dir/out" data.0.id)" model

"$weir" run "$model" --sinks 4 --window 28 --prompt "$prompt" -n 60 --seed 5 --json >"$dir/run" 2>/dev/null
text=$(json "$dir/run" text)
ask /v1/completions "{\"prompt\":\"$prompt\",\"max_tokens\":60,\"seed\":5}"
is 200 'a completion'
equal 'the text of weir run' "$(json "$dir/out" choices.0.text)" "$text"
equal 'its end' "$(json "$dir/out" choices.0.finish_reason)" length
equal 'usage' "$(json "$dir/out" usage.completion_tokens)" 60
equal 'prompt tokens' "$(json "$dir/out" usage.prompt_tokens)" "$(json "$dir/run" prompt_tokens)"
forgotten=$(json "$dir/run" evicted)
equal 'forgotten' "$(json "$dir/out" weir.forgotten_tokens)" "$forgotten"
ok 'and in a header' grep -qi "^Weir-Forgotten-Tokens: $forgotten" "$dir/head"

# As events: the same text in pieces, and the usage.
ask /v1/completions "{\"prompt\":\"$prompt\",\"max_tokens\":60,\"seed\":5,\"stream\":true,
  \"stream_options\":{\"include_usage\":true}}"
is 200 'events'
ok 'their type' grep -qi '^Content-Type: text/event-stream' "$dir/head"
equal 'the last event' "$(grep -c '^data: \[DONE\]' "$dir/out")" 1
sed -n 's/^data: \({.*\)/\1/p' "$dir/out" >"$dir/events"
: >"$dir/pieces"
while read -r event; do
  printf '%s\n' "$event" >"$dir/event"
  piece=$("$check_json" choices.0.text <"$dir/event" 2>/dev/null && echo x) || continue
  printf '%s' "${piece%
x}" >>"$dir/pieces"
done <"$dir/events"
json "$dir/run" text >"$dir/text"
printf '%s\n' "$(cat "$dir/pieces")" >"$dir/joined"
printf '%s\n' "$(cat "$dir/text")" >"$dir/wanted"
ok 'the pieces are the text' cmp "$dir/joined" "$dir/wanted"
tail -n 1 "$dir/events" >"$dir/event"
equal 'usage in the last event' "$(json "$dir/event" usage.completion_tokens)" 60

# Sampling rules mean what they mean to weir run.
ask /v1/completions '{"prompt":"x","max_tokens":4,"temperature":0,"logit_bias":{"300":1000},
  "logprobs":1}'
is 200 'bias'
"$weir" run "$model" --sinks 4 --window 28 --prompt x -n 4 --temp 0 --logit-bias 300=1000 --json >"$dir/run"
equal 'bias' "$(json "$dir/out" choices.0.text)" "$(json "$dir/run" text)"
equal 'logprobs of each token' "$(json "$dir/out" choices.0.logprobs.tokens.3)" \
  "$(json "$dir/out" choices.0.logprobs.tokens.0)"
ask /v1/completions '{"prompt":"x","max_tokens":50,"temperature":0,"logit_bias":{"263":1000},
  "stop":["oooo"]}'
equal 'stop' "$(json "$dir/out" choices.0.finish_reason)" stop
equal 'the stop string is not shown' "$(json "$dir/out" choices.0.text)" ''
ask /v1/completions "{\"prompt\":\"$prompt\",\"max_tokens\":9,\"n\":3,\"seed\":7}"
for choice in 0 1 2; do
  "$weir" run "$model" --sinks 4 --window 28 --prompt "$prompt" -n 9 --seed $((7 + choice)) --json \
    >"$dir/run" 2>/dev/null
  equal "choice $choice" "$(json "$dir/out" choices.$choice.text)" "$(json "$dir/run" text)"
done

# A chat: its tokens are those that `weir chat` would feed; the system message is pinned.
chat='{"messages":[{"role":"system","content":"the mill"},{"role":"user","content":"hums"}],
  "max_tokens":40,"seed":2}'
ask /v1/chat/completions "$chat"
is 200 'a chat'
equal 'its role' "$(json "$dir/out" choices.0.message.role)" assistant
answer=$(json "$dir/out" choices.0.message.content)
ok 'the system message is pinned' test "$(json "$dir/out" weir.sinks)" -gt 4
ask /v1/chat/completions "$chat"
equal 'the same again' "$(json "$dir/out" choices.0.message.content)" "$answer"

# ---- streams ------------------------------------------------------------------------------------

"$weir" run "$model" --sinks 4 --window 28 --prompt "$prompt" -n 30 --seed 5 --json >"$dir/run" 2>/dev/null
new_stream '{}'
equal 'policy' "$(json "$dir/out" policy)" sink
equal 'window' "$(json "$dir/out" window)" 28
curl -s -N -m 300 "$base/v1/streams/$stream/events" >"$dir/heard" &
listener=$!
wait_for 'the listener' grep -q '^event: state' "$dir/heard"
# in three appends, one of them a body that is no JSON, cut within words
printf '%s' "$prompt" | head -c 20 | curl -s -m 300 "$base/v1/streams/$stream/append" \
  -H 'Content-Type: text/plain' --data-binary @- >"$dir/out"
ask "/v1/streams/$stream/append" "{\"text\":\"$(printf '%s' "$prompt" | tail -c +21 | head -c 17)\"}"
is 200 'append'
printf '%s' "$prompt" | tail -c +38 | curl -s -m 300 "$base/v1/streams/$stream/append" \
  -H 'Content-Type: text/plain' -H 'Transfer-Encoding: chunked' --data-binary @- >"$dir/out"
ask "/v1/streams/$stream/marks" '{"name":"here"}'
is 201 'a mark'
mark=$(json "$dir/out" marks.0.index)

# Several at once ask the same stream, which does not notice.
for i in 1 2 3 4; do
  curl -s -m 300 "$base/v1/streams/$stream/ask" -H 'Content-Type: application/json' \
    -d "{\"text\":\" why?\",\"max_tokens\":20,\"seed\":$i}" >"$dir/asked.$i" &
  eval "asker$i=\$!"
done
# shellcheck disable=SC2154 # set by eval
wait "$asker1" "$asker2" "$asker3" "$asker4"
for i in 1 2 3 4; do
  "$weir" run "$model" --sinks 4 --window 28 --prompt "$prompt why?" -n 20 --seed $i --json \
    >"$dir/one" 2>/dev/null
  equal "answer $i" "$(json "$dir/asked.$i" text)" "$(json "$dir/one" text)"
done
ask "/v1/streams/$stream/fork" ''
is 201 'a fork'
fork=$(json "$dir/out" id)
for id in "$stream" "$fork"; do
  ask "/v1/streams/$id/generate" '{"max_tokens":30,"seed":5}'
  is 200 'generate'
  equal 'tokens of weir run' "$(json "$dir/out" tokens)" "$(json "$dir/run" tokens)"
  equal 'text of weir run' "$(json "$dir/out" text)" "$(json "$dir/run" text)"
done
# the seed that a stream is created with holds for its requests
seeded=$stream
new_stream '{"seed":5}'
ask "/v1/streams/$stream/append" "{\"text\":\"$prompt\"}"
ask "/v1/streams/$stream/generate" '{"max_tokens":30}'
equal 'seed of the stream' "$(json "$dir/out" seed)" 5
equal 'tokens of that seed' "$(json "$dir/out" tokens)" "$(json "$dir/run" tokens)"
look "/v1/streams/$stream" -X DELETE
# and its rules for those of OpenAI's, except for what they say themselves
"$weir" run "$model" --sinks 4 --window 28 --prompt "$prompt" -n 30 --seed 5 --temp 1.5 --top-k 9 --json \
  >"$dir/run" 2>/dev/null
new_stream '{"seed":5,"temperature":1.5,"top_k":40}'
ask /v1/completions "{\"stream_id\":\"$stream\",\"prompt\":\"$prompt\",\"max_tokens\":30,\"top_k\":9}"
is 200 'a completion of a stream with rules'
equal 'its seed' "$(json "$dir/out" weir.seed)" 5
equal 'text of those rules' "$(json "$dir/out" choices.0.text)" "$(json "$dir/run" text)"
look "/v1/streams/$stream" -X DELETE
"$weir" run "$model" --sinks 4 --window 28 --prompt "$prompt" -n 30 --seed 5 --json >"$dir/run" 2>/dev/null
stream=$seeded
ask "/v1/streams/$stream/rewind" '{"mark":"here"}'
equal 'back at the mark' "$(json "$dir/out" index)" "$mark"
ask "/v1/streams/$stream/generate" '{"max_tokens":30,"seed":5,"stream":true}'
equal 'tokens again, as events' "$(grep -c '^event: token' "$dir/out")" 30
equal 'and their end' "$(grep -c '^event: end' "$dir/out")" 1
ask "/v1/streams/$stream/generate" '{"max_tokens":200,"ignore_eos":true}'
ask "/v1/streams/$stream/rewind" '{"index":10}'
refused 409 'rewind'
ask "/v1/streams/$stream/rewind" '{"mark":"there"}'
refused 400 'no mark "there"'
look "/v1/streams/$stream/marks/here" -X DELETE
is 200 'the mark is dropped'
look "/v1/streams"
says "$fork"

# What listeners heard: what was fed, made and forgotten, with its text.
look "/v1/streams/$stream" -X DELETE
is 200 'deleted'
wait "$listener"
ok 'fed' grep -q '^event: fed' "$dir/heard"
ok 'made' grep -q '^event: token' "$dir/heard"
ok 'moved' grep -q '^event: moved' "$dir/heard"
ok 'the end' grep -q '^event: end' "$dir/heard"
sed -n '/^event: evicted/{n;s/^data: //p;}' "$dir/heard" >"$dir/evicted"
head -n 1 "$dir/evicted" >"$dir/event"
forgotten=$(json "$dir/event" text)
ok "evicted text is of the prompt: $forgotten" starts "${prompt#*"$forgotten"}" \
  "${prompt#*"$forgotten"}"
case $prompt in *"$forgotten"*) ;; *) fail "\"$forgotten\" was never said" ;; esac
look "/v1/streams/$stream"
refused 404 'no such stream'

# A talk that stays here: only what is new is sent.
new_stream '{"chat_system":"the mill"}'
ask /v1/chat/completions "{\"stream_id\":\"$stream\",\"seed\":2,\"max_tokens\":40,
  \"messages\":[{\"role\":\"user\",\"content\":\"hums\"}]}"
equal 'the same talk as before' "$(json "$dir/out" choices.0.message.content)" "$answer"
equal 'on its stream' "$(json "$dir/out" weir.stream_id)" "$stream"
index=$(json "$dir/out" weir.index)
ask /v1/chat/completions "{\"stream_id\":\"$stream\",\"max_tokens\":5,
  \"messages\":[{\"role\":\"user\",\"content\":\"and then\"}]}"
ok 'which goes on' test "$(json "$dir/out" weir.index)" -gt "$index"
new_stream '{"system":"the river"}'
ok 'the text is fed' test "$(json "$dir/out" index)" -gt 1
equal 'and pinned, if it is longer than the sinks' "$(json "$dir/out" sinks)" "$(
  count=$(json "$dir/out" index)
  [ "$count" -gt 4 ] && echo "$count" || echo 4
)"

# ---- many at once, each as alone ----------------------------------------------------------------

for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
  curl -s -m 300 "$base/v1/completions" -H 'Content-Type: application/json' \
    -d "{\"prompt\":\"$i $prompt\",\"max_tokens\":$((20 + 7 * i)),\"seed\":$i}" >"$dir/many.$i" &
  eval "many$i=\$!"
done
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
  eval "wait \$many$i"
  "$weir" run "$model" --sinks 4 --window 28 --prompt "$i $prompt" -n $((20 + 7 * i)) --seed $i \
    --json >"$dir/one" 2>/dev/null
  equal "text $i" "$(json "$dir/many.$i" choices.0.text)" "$(json "$dir/one" text)"
done

# ---- embeddings ---------------------------------------------------------------------------------

"$weir" embed "$model" --text 'the river' --text 'and the mill' --json >"$dir/run"
ask /v1/embeddings '{"input":["the river","and the mill"]}'
is 200 'vectors'
for i in 0 1; do
  equal "vector $i" "$(json "$dir/out" data.$i.embedding)" "$(json "$dir/run" vectors.$i)"
done
ask /v1/embeddings '{"input":"the river","encoding_format":"base64"}'
equal 'its bytes' "$(json "$dir/out" data.0.embedding | base64 -d | wc -c)" 256
ask /v1/embeddings '{"input":""}'
refused 400 'input must be'

# ---- refusals -----------------------------------------------------------------------------------

ask /v1/completions '{"prompt":'
refused 400 'not JSON'
ask /v1/completions '{"prompt":"x","max_tokens":1e99}'
refused 400 'max_tokens must be'
ask /v1/completions '{"prompt":"x","max_tokens":-1}'
refused 400 'max_tokens must be'
ask /v1/completions '{"prompt":"x","temprature":1}'
refused 400 '"temprature" is no field'
ask /v1/completions '{"prompt":"x","model":"other"}'
refused 404 'no model "other"'
equal 'its code' "$(json "$dir/out" error.code)" model_not_found
ask /v1/chat/completions '{"messages":[{"role":"user","content":"x"}],
  "response_format":{"type":"json_object"}}'
refused 400 'response_format'
ask /v1/chat/completions '{"messages":[{"role":"tool","content":"x"}]}'
refused 400 'role must be'
ask /v1/streams '{"policy":"dense","window":5}'
refused 400 'dense'
ask /v1/streams '{"cache":100000}'
refused 400 'trained'
ask /v1/streams/st_none/append '{"text":"x"}'
refused 404 'no such stream'
ask /v1/streams '{}' -H 'Origin: https://evil.example'
refused 403 'elsewhere'
ask /v1/streams '{}' -H 'Host: evil.example'
refused 403 'elsewhere'
ask /v1/nothing '{}'
refused 404 'nothing under this path'
look "/v1/streams" -X PUT
refused 405 'method'
head -c 5000000 /dev/zero | tr '\0' 'x' >"$dir/large"
look "/v1/completions" --expect100-timeout 300 -H 'Content-Type: application/json' --data-binary "@$dir/large"
refused 413 'larger'

# A client that goes away stops its work.
before=$(metric clients_gone_total)
curl -s -N -m 300 "$base/v1/completions" -H 'Content-Type: application/json' \
  -d '{"prompt":"x","max_tokens":1000000000,"ignore_eos":true,"stream":true}' >"$dir/endless" &
client=$!
wait_for 'its first words' test -s "$dir/endless"
kill -9 "$client"
wait_for 'the work to stop' metric_is tasks 0
ok 'and it is counted' test "$(metric clients_gone_total)" -gt "$before"
curl -s -N -m 300 "$base/v1/completions" -H 'Content-Type: application/json' \
  -d '{"prompt":"x","max_tokens":1000000000,"ignore_eos":true}' >"$dir/endless" &
client=$!
wait_for 'its work' metric_is tasks 1
kill -9 "$client"
wait_for 'the work to stop, before a word was sent' metric_is tasks 0

# SIGTERM: what is under way is finished, and no more is taken.
curl -s -N -m 300 "$base/v1/completions" -H 'Content-Type: application/json' \
  -d '{"prompt":"x","max_tokens":3000,"ignore_eos":true,"stream":true}' >"$dir/last" &
client=$!
wait_for 'its first words' test -s "$dir/last"
stop
wait "$client"
equal 'finished' "$(grep -c '^data: \[DONE\]' "$dir/last")" 1
head -n 1 "$dir/log" >"$dir/event"
equal 'its first line' "$(json "$dir/event" event)" listening

# ---- keys ---------------------------------------------------------------------------------------

printf '# keys\nsecret-one\n\nsecret-two\n' >"$dir/keys"
start --api-key-file "$dir/keys" --quiet
look "/v1/models"
refused 401 'key'
equal 'its type' "$(json "$dir/out" error.type)" authentication_error
look "/v1/models" -H 'Authorization: Bearer secret-on'
refused 401 'key'
look "/v1/models" -H 'Authorization: Bearer secret-two'
is 200 'a key'
look "/health"
is 200 'health needs none'
echo secret-three >"$dir/keys"
kill -HUP "$server"
opens() { look "/v1/models" -H 'Authorization: Bearer secret-three' && [ "$status" = 200 ]; }
wait_for 'the new key' opens
look "/v1/models" -H 'Authorization: Bearer secret-two'
refused 401 'key'
stop
ok 'quiet' test ! -s "$dir/log"

# ---- limits -------------------------------------------------------------------------------------

start --streams 1 --queue 2 --timeout 5 --max-tokens 1000000000
curl -s -N -m 300 "$base/v1/completions" -H 'Content-Type: application/json' \
  -d '{"prompt":"x","max_tokens":1000000000,"ignore_eos":true,"stream":true}' >"$dir/holder" &
client=$!
wait_for 'its first words' test -s "$dir/holder"
# four at once; again where the machine let one arrive after another had waited in vain
for attempt in 1 2 3 4 5 6 7 8; do
  for i in 1 2 3 4; do
    curl -s -m 300 -o "$dir/refused.$i" -D "$dir/head.$i" "$base/v1/completions" \
      -H 'Content-Type: application/json' -d '{"prompt":"x","max_tokens":1}' &
    eval "refused$i=\$!"
  done
  for i in 1 2 3 4; do eval "wait \$refused$i"; done
  cat "$dir"/head.[1-4] >"$dir/heads"
  [ "$(grep -c '^HTTP/1.1 429' "$dir/heads")" -ne 2 ] || break
done
equal "two find the queue full, at attempt $attempt" "$(grep -c '^HTTP/1.1 429' "$dir/heads")" 2
equal 'two waited in vain' "$(grep -c '^HTTP/1.1 503' "$dir/heads")" 2
equal 'all hear when to come back' "$(grep -ci '^Retry-After: ' "$dir/heads")" 4
kill -9 "$client"
wait_for 'the work to stop' metric_is tasks 0
stop

# An encoder has no streams.
encoder=$dir/encoder.gguf
"$weir" make-random --out "$encoder" --family bert --vocabulary 512 --seed 3 --context 64
decoder=$model
model=$encoder
start --quiet
ask /v1/embeddings '{"input":"the river"}'
is 200 'a vector'
ask /v1/completions '{"prompt":"x"}'
refused 400 'encoder'
stop
model=$decoder

refuses '--api-key-file' serve "$model" --listen 0.0.0.0:0
refuses '--listen wants' serve "$model" --listen nowhere
refuses 'recompute' serve "$model" --policy recompute
refuses '--origin wants' serve "$model" --origin example.org
refuses '--tls' serve "$model" --tls-key "$dir/keys"
fails "$dir/none" serve "$model" --listen 127.0.0.1:0 --api-key-file "$dir/none"
refuses '--memory' serve "$model" --memory 100k
done_with
