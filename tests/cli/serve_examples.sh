# examples/watch_log.sh and examples/live_transcript.sh, against a server with a key.
# shellcheck source=tests/cli/serve_lib.sh
. "$(dirname "$0")/serve_lib.sh"

examples=${WEIR_ROOT:-.}/examples
model=$dir/model.gguf
make_model "$model"
echo secret >"$dir/keys"
echo 'Authorization: Bearer secret' >"$dir/headers"
start --sinks 4 --window 60 --api-key-file "$dir/keys" --quiet
export WEIR_URL="$base" WEIR_HEADERS="$dir/headers" WEIR_TOKENS=12
key='Authorization: Bearer secret'

# by_hand QUESTION: what the stream $twin answers; as the examples print it.
by_hand() {
  ask "/v1/streams/$twin/ask" "{\"messages\":[{\"role\":\"user\",\"content\":\"$1\"}],\"max_tokens\":12,
    \"temperature\":0}" -H "$key"
  is 200 'asked'
  printf '%s\n' "$(json "$dir/out" text | tr -d '\000-\007\013\016-\037')"
}
new_twin() {
  ask /v1/streams "{\"system\":\"$1\"}" -H "$key"
  is 201 'a twin'
  twin=$(json "$dir/out" id)
}

# ---- a log --------------------------------------------------------------------------------------------

# Five lines, asked about after every second, and at the end.
for i in 1 2 3 4 5; do echo "09:1$i \"mill\" $i\\$i runs"; done >"$dir/log.txt"
WEIR_KEEP=1 sh "$examples/watch_log.sh" 2 'What is "wrong"?' <"$dir/log.txt" >"$dir/said" 2>"$dir/err" ||
  fail "watch_log: $(cat "$dir/said" "$dir/err")"
watched=$(sed -n 's/^stream //p' "$dir/err")
new_twin 'The log of a machine, line by line.'
: >"$dir/wanted"
: >"$dir/forks"
for part in 1,2p 3,4p 5p; do
  sed -n "$part" "$dir/log.txt" >"$dir/part"
  look "/v1/streams/$twin/append" -H "$key" -H 'Content-Type: text/plain' --data-binary "@$dir/part"
  is 200 'appended'
  json "$dir/out" index >>"$dir/forks"
  by_hand 'What is \"wrong\"?' >>"$dir/wanted"
done
grep -v '^fork st_' "$dir/said" >"$dir/answers"
ok "the answers are those of a twin: $(diff "$dir/answers" "$dir/wanted")" cmp -s "$dir/answers" "$dir/wanted"
look "/v1/streams/$watched" -H "$key"
equal 'the stream has the log and nothing else' "$(json "$dir/out" index)" "$(tail -n 1 "$dir/forks")"
sed -n 's/^fork //p' "$dir/said" >"$dir/kept"
while read -r fork; do
  look "/v1/streams/$fork" -H "$key"
  json "$dir/out" index
done <"$dir/kept" >"$dir/indices"
ok "forks of each moment: $(cat "$dir/indices")" cmp -s "$dir/indices" "$dir/forks"

# It follows a log that grows, and goes on with the same stream.
: >"$dir/growing"
mkfifo "$dir/pipe"
tail -f "$dir/growing" >"$dir/pipe" &
others=$!
WEIR_STREAM=$watched sh "$examples/watch_log.sh" 1 'Well?' <"$dir/pipe" >"$dir/grown" 2>"$dir/err" &
watcher=$!
echo 'the river rises' >>"$dir/growing"
wait_for 'its answer' test -s "$dir/grown"
kill "$others"
others=
wait "$watcher" || fail "watch_log: $(cat "$dir/err")"
equal 'the same stream' "$(sed -n 's/^stream //p' "$dir/err")" "$watched"
look "/v1/streams/$watched" -H "$key"
ok 'which has read on' test "$(json "$dir/out" index)" -gt "$(tail -n 1 "$dir/forks")"

# ---- a talk -------------------------------------------------------------------------------------------

mkfifo "$dir/talk" "$dir/questions"
sh "$examples/live_transcript.sh" "$dir/questions" <"$dir/talk" >"$dir/told" 2>"$dir/err" &
listener=$!
exec 8>"$dir/talk" 9>"$dir/questions"
wait_for 'the stream' grep -q '^stream ' "$dir/err"
talk=$(sed -n 's/^stream //p' "$dir/err")
new_twin 'The transcript of a talk.'
: >"$dir/wanted"
for words in 'Good evening. The river is high. ' 'The mill has stopped. '; do
  printf '%s' "$words" >&8
  ask "/v1/streams/$twin/append" "{\"text\":\"$words\"}" -H "$key"
  json "$dir/out" index >"$dir/index"
  json "$dir/out" held_bytes >>"$dir/index"
  heard() {
    look "/v1/streams/$talk" -H "$key"
    [ "$(json "$dir/out" index && json "$dir/out" held_bytes)" = "$(cat "$dir/index")" ]
  }
  wait_for 'the words to arrive' heard
  echo 'Why?' >&9
  echo '> Why?' >>"$dir/wanted"
  by_hand 'Why?' >>"$dir/wanted"
  lines=$(wc -l <"$dir/wanted")
  answered() { [ "$(wc -l <"$dir/told")" -ge "$lines" ]; }
  wait_for 'the answer' answered
done
exec 8>&- 9>&-
wait "$listener" || fail "live_transcript: $(cat "$dir/err")"
ok "answers while the talk goes on: $(diff "$dir/told" "$dir/wanted")" cmp -s "$dir/told" "$dir/wanted"
stop
done_with
