# serve: what requests and streams begin with alike is computed once, and nobody sees it in their text.
# shellcheck source=tests/cli/serve_lib.sh
. "$(dirname "$0")/serve_lib.sh"

model=$dir/model.gguf
"$weir" make-random --out "$model" --vocabulary 512 --seed 3 --context 256 || fail 'make-random'
always='--threads 1 --sinks 4 --window 124 --template chatml'

# ---- what is asked -------------------------------------------------------------------------------------

words() { printf "$1 %.0s" $(seq "$2"); }
system="You keep the log of the mill by the river."
long="$(words 'Of the weir, the wheel and the water it is told here.' 12)"

# chat FIELDS MESSAGE...: of one who keeps the log; users and assistants in turn.
chat() {
  fields=$1
  shift
  list="{\"role\":\"system\",\"content\":\"$system\"}"
  role=user
  for text in "$@"; do
    list="$list,{\"role\":\"$role\",\"content\":\"$text\"}"
    case $role in user) role=assistant ;; *) role=user ;; esac
  done
  ask /v1/chat/completions "{\"messages\":[$list],\"max_tokens\":24,\"ignore_eos\":true,\"seed\":${seed:-5}$fields}"
  is 200 'a chat'
  cached=$(json "$dir/out" usage.prompt_tokens_details.cached_tokens)
  fed=$(json "$dir/out" usage.prompt_tokens)
}

# completion FIELDS PROMPT
completion() {
  ask /v1/completions "{\"prompt\":$2,\"max_tokens\":24,\"ignore_eos\":true,\"seed\":6$1}"
  is 200 'a completion'
  cached=$(json "$dir/out" usage.prompt_tokens_details.cached_tokens)
  fed=$(json "$dir/out" usage.prompt_tokens)
}

# said NAME: the text of the last answer goes into the list, and what was cached into another.
said() {
  json "$dir/out" choices.0."${2:-message.content}" >>"$dir/texts"
  echo "$1 $cached of $fed" >>"$dir/cached"
}

everything() {
  : >"$dir/texts"
  : >"$dir/cached"
  chat '' 'Hello.'
  said first
  chat '' 'Good evening.'
  said system
  chat '' 'Good evening.'
  said again
  seed=77
  chat '' 'Good evening.'
  seed=5
  said seed
  chat ',"temperature":0,"repetition_penalty":1.3,"penalty_window":200' 'Good evening.'
  said penalty
  answer=$("$check_json" choices.0.message.content <"$dir/out")
  plain=$(printf '%s' "$answer" | LC_ALL=C tr -cd 'A-Za-z0-9 .,')
  chat '' 'Good evening.' "$plain" 'And now?'
  said resent
  chat ',"cache_type":"q8_0"' 'Good evening.'
  said type
  chat ',"cache_type":"q8_0"' 'Good morning.'
  said type2
  chat ',"cache":112' 'Good evening.'
  said size
  chat ',"policy":"dense"' 'Hello.'
  said dense
  chat ',"policy":"dense"' 'Hello.' 'Yes.' 'And then?'
  said dense2
  chat ',"policy":"window","window":64' 'Hello.'
  said window
  chat ',"policy":"window","window":64' 'Hello again.'
  said window2
  # far past the window: the system message is pinned, the rest is gone
  chat '' "$long"
  said far
  chat '' "$long" 'Yes.' 'More?'
  said far2
  chat '' "Or so: $long"
  said far3
  chat ',"evict":"message"' 'One.' 'Two.' "$long" 'Three.' 'Four.'
  said messages
  chat ',"evict":"message"' 'One.' 'Two.' "$long" 'Three.' 'Four.' 'Five.' 'Six.'
  said messages2
  chat ',"evict":"message"' 'Seven.' 'Eight.' 'Nine.'
  said messages3
  chat ',"n":3' 'Hello.'
  said several
  json "$dir/out" choices.2.message.content >>"$dir/texts"
  chat ',"logprobs":true,"top_logprobs":2' 'Hello.'
  said logprobs
  json "$dir/out" choices.0.logprobs.content.3.logprob >>"$dir/texts"
  completion '' "\"$long\""
  said text text
  completion '' "\"$long and so on\""
  said text2 text
  tokens=$(seq -s, 3 70)
  completion '' "[$tokens]"
  said tokens text
  completion '' "[$tokens,9,8,7]"
  said tokens2 text
  # streams of their own that begin alike
  for name in one two; do
    new_stream "{\"system\":\"$system $system\",\"seed\":9,\"cache\":124}"
    echo "stream-$name $(json "$dir/out" shared) of $(json "$dir/out" index)" >>"$dir/cached"
    ask "/v1/streams/$stream/append" "{\"text\":\" A line of $name.\"}"
    is 200 'appended'
    ask "/v1/streams/$stream/generate" '{"text":" So it","max_tokens":40,"ignore_eos":true,"seed":3}'
    json "$dir/out" text >>"$dir/texts"
    ask "/v1/streams/$stream/append" '{"text":"then comes more"}'
    ask "/v1/streams/$stream/generate" '{"max_tokens":90,"ignore_eos":true,"seed":3}'
    json "$dir/out" text >>"$dir/texts"
  done
  for name in one two; do
    new_stream "{\"chat_system\":\"$system\",\"seed\":9}"
    ask "/v1/streams/$stream/generate" "{\"messages\":[{\"role\":\"user\",\"content\":\"$name\"}],\"max_tokens\":30,\"seed\":4}"
    json "$dir/out" text >>"$dir/texts"
    look "/v1/streams/$stream"
    echo "chat-$name $(json "$dir/out" shared) of $(json "$dir/out" index)" >>"$dir/cached"
    ask "/v1/streams/$stream/generate" '{"messages":[{"role":"user","content":"more"}],"max_tokens":30,"seed":4}'
    json "$dir/out" text >>"$dir/texts"
  done
}

# ---- with and without ------------------------------------------------------------------------------------

start --kept 0
everything
equal 'nothing is shared' "$(metric openings_shared_total)" 0
equal 'nothing is kept' "$(metric streams_kept)" 0
ok 'nothing is cached' not grep -qv ' 0 of ' "$dir/cached"
mv "$dir/texts" "$dir/alone"
stop

start
everything
cat "$dir/cached"
ok "the texts are the same: $(diff "$dir/alone" "$dir/texts")" cmp -s "$dir/alone" "$dir/texts"

of() { sed -n "s/^$1 \([0-9]*\) of .*/\1/p" "$dir/cached"; }
whole() { sed -n "s/^$1 [0-9]* of \([0-9]*\)/\1/p" "$dir/cached"; }
pinned=$(json "$dir/out" sinks)
equal 'the first is computed' "$(of first)" 0
ok 'then the system message is not' test "$(of system)" -ge "$pinned"
equal 'the same again is there whole' "$(of again)" "$(whole again)"
equal 'whatever the seed' "$(of seed)" "$(whole seed)"
ok 'a conversation that is resent goes on' test "$(of resent)" -gt "$(whole penalty)"
equal 'other pages are not shared' "$(of type)" 0
ok 'but among themselves' test "$(of type2)" -ge "$pinned"
equal 'nor is another window' "$(of size)" 0
ok 'dense' test "$(of dense2)" -gt "$pinned"
ok 'window' test "$(of window2)" -gt 0
ok 'far past the window a conversation goes on' test "$(of far2)" -ge "$(whole far)"
ok 'and its system message is there' test "$(of far3)" -ge "$pinned" -a "$(of far3)" -lt $((pinned + 20))
ok 'messages' test "$(of messages2)" -ge "$pinned"
ok 'text' test "$(of text2)" -gt 32
equal 'tokens' "$(of tokens2)" 68
equal 'the first stream is computed' "$(of stream-one)" 0
equal 'the second is not' "$(of stream-two)" "$(whole stream-two)"
ok 'a conversation of a stream' test "$(of chat-two)" -ge "$pinned"
ok 'counted' test "$(metric tokens_shared_total)" -gt 1000
ok 'kept' test "$(metric streams_kept)" -gt 3
ok 'and bounded' test "$(metric streams_kept)" -le 16

# ---- at the same time --------------------------------------------------------------------------------------

system="$(words 'All of them know of the flood in spring, and of nothing else.' 1)"
before=$(metric tokens_fed_total)
for i in 1 2 3 4 5 6 7 8; do
  client "$base/v1/chat/completions" -H 'Content-Type: application/json' -d "{\"messages\":[
    {\"role\":\"system\",\"content\":\"$system\"},{\"role\":\"user\",\"content\":\"$i\"}],\"max_tokens\":5}" \
    >"$dir/answer$i" &
  pids="${pids:-} $!"
done
# shellcheck disable=SC2086
wait $pids
sum=0
for i in 1 2 3 4 5 6 7 8; do
  sum=$((sum + $(json "$dir/answer$i" usage.prompt_tokens)))
done
fed=$(($(metric tokens_fed_total) - before))
ok "eight at once computed the system message once ($fed of $sum tokens)" test "$fed" -lt $((sum / 2))

# past the window: whoever has the text stops where the others go on
long="$(words 'Nobody at the mill has ever seen so much water as on that day.' 30)"
before=$(metric tokens_fed_total)
pids=
for i in 1 2 3 4; do
  client "$base/v1/completions" -H 'Content-Type: application/json' \
    -d "{\"prompt\":\"$long$i $i\",\"max_tokens\":5}" >"$dir/answer$i" &
  pids="$pids $!"
done
# shellcheck disable=SC2086
wait $pids
sum=0
for i in 1 2 3 4; do
  sum=$((sum + $(json "$dir/answer$i" usage.prompt_tokens)))
done
fed=$(($(metric tokens_fed_total) - before))
ok "four at once read it once ($fed of $sum tokens)" test "$fed" -lt $((sum / 3))
stop

# ---- a restart, and one who had it from another -------------------------------------------------------------

grown() {
  new_stream "{\"system\":\"$system $system\",\"seed\":9}"
  ask "/v1/streams/$stream/generate" '{"text":" So it","max_tokens":20,"ignore_eos":true,"seed":8}'
}
start --store "$dir/store"
grown
grown
ok 'it was shared' test "$(metric openings_shared_total)" -gt 0
ask "/v1/streams/$stream/fork" '{}'
twin=$(json "$dir/out" id)
ask "/v1/streams/$twin/generate" '{"max_tokens":30,"ignore_eos":true,"seed":8}'
json "$dir/out" text >"$dir/twin"
murder
start --store "$dir/store"
ask "/v1/streams/$stream/generate" '{"max_tokens":30,"ignore_eos":true,"seed":8}'
json "$dir/out" text >"$dir/restored"
ok 'it goes on as it would have' cmp "$dir/twin" "$dir/restored"
stop

# ---- real streams first ----------------------------------------------------------------------------------------

"$weir" serve "$model" --memory 1k 2>"$dir/err" && fail 'a kilobyte is enough'
start --kept 3
i=0
while [ $i -lt 6 ]; do
  chat '' "number $i"
  i=$((i + 1))
done
equal 'no more are kept' "$(metric streams_kept)" 3
limit=$(metric memory_planned_bytes)
stop
start --kept 100 --memory "$limit"
i=0
while [ $i -lt 9 ]; do
  chat '' "number $i"
  i=$((i + 1))
done
kept=$(metric streams_kept)
ok "as many as fit are kept ($kept)" test "$kept" -ge 2 -a "$kept" -le 3
new_stream '{}'
new_stream '{}'
ok 'they make room' test "$(metric streams_kept)" -lt "$kept"
ok 'within the limit' test "$(metric memory_planned_bytes)" -le "$limit"
look "/v1/streams/$stream" -X DELETE
is 200 'deleted'

# a stream that went back and on another way is none to begin with
system="$(words 'Here it is told another way.' 3)"
new_stream "{\"system\":\"$system\"}"
ask "/v1/streams/$stream/rewind" '{"index":3}'
is 200 'rewound'
new_stream "{\"system\":\"$system\"}"
equal 'not shared' "$(json "$dir/out" shared)" 0
stop

# ---- two requests on one stream -------------------------------------------------------------------------------

# What one of them has still to say is not lost when the other one's client leaves, and nothing of the
# other comes between.
# The third never waits for its turn: on a machine where the first is done before the third has left, again with more.
start --max-body 16M
begun() { look "/v1/streams/$stream" && [ "$(json "$dir/out" index)" -gt 0 ]; }
for length in 4000 16000 48000; do
  words 'Of the river and of the mill it is told here, day after day, without an end.' "$length" >"$dir/words"
  printf '{"text":"%s","flush":true}' "$(cat "$dir/words")" >"$dir/body"
  new_stream '{}'
  look "/v1/streams/$stream/append" -H 'Content-Type: application/json' --data-binary "@$dir/body"
  is 200 'appended'
  alone=$(json "$dir/out" index)
  new_stream '{}'
  client "$base/v1/streams/$stream/append" -H 'Content-Type: application/json' --data-binary "@$dir/body" \
    >"$dir/first" &
  first=$!
  wait_for 'the first to begin' begun
  # the second goes on behind the first
  client "$base/v1/completions" -H 'Content-Type: application/json' \
    -d "{\"stream_id\":\"$stream\",\"prompt\":[5,6,7],\"max_tokens\":0}" >"$dir/second" &
  second=$!
  curl -s -m 0.5 "$base/v1/streams/$stream/append" -H 'Content-Type: application/json' -d '{"text":"never"}' \
    >"$dir/third" || :
  waited=no
  if [ ! -s "$dir/third" ] && kill -0 "$first" 2>/dev/null; then waited=yes; fi
  wait $first
  wait $second
  [ "$waited" = no ] || break
done
equal 'all of the first' "$(json "$dir/first" index)" "$alone"
if [ "$waited" = yes ]; then # else this machine is too fast to tell
  equal 'then the second' "$(json "$dir/second" weir.index)" $((alone + 3))
fi
stop
done_with
