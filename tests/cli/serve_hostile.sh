# serve, to clients that do not behave: others are served meanwhile, nothing is left behind, and the
# server ends in order.
# shellcheck source=tests/cli/serve_lib.sh
. "$(dirname "$0")/serve_lib.sh"
hostile=${WEIR_BUILD:-$(dirname "$1")}/tests/hostile_client

model=$dir/model.gguf
make_model "$model"
start --sinks 4 --window 28 --timeout 3 --connections 200 --memory 64M
port=${base##*:}


# served WHAT: an honest client gets the text that it should, and nothing of the others is left.
wanted=$("$weir" run "$model" --sinks 4 --window 28 --prompt 'the mill' -n 20 --seed 3)
served() {
  curl -s -m 60 "$base/v1/completions" -H 'Content-Type: application/json' \
    -d '{"prompt":"the mill","max_tokens":20,"seed":3}' >"$dir/out"
  equal "served, $1" "$(json "$dir/out" choices.0.text)" "$wanted"
}
left_nothing() {
  wait_for "no task, $1" metric_is tasks 0
  wait_for "no stream, $1" metric_is streams 0
  equal "no queue, $1" "$(metric queue)" 0
}

served 'before'
promised() { echo $(($(metric memory_planned_bytes) - $(metric memory_kept_bytes))); }
memory=$(promised)
for what in half garbage pipeline; do
  ok "$what" "$hostile" "$port" $what
  served "after $what"
  left_nothing "after $what"
done
"$hostile" "$port" slow &
slow=$!
served 'beside slow ones'
wait "$slow"
ok 'a trickle is cut off' "$hostile" "$port" trickle
served 'after a trickle'

# Ten thousand connections (fewer where the system allows no more), and places for two hundred.
mkfifo "$dir/flood"
"$hostile" "$port" flood <"$dir/flood" >"$dir/many" &
flood=$!
exec 9>"$dir/flood"
wait_for 'the flood' test -s "$dir/many"
served "beside $(cat "$dir/many") connections"
exec 9>&-
wait "$flood"
wait_for 'their connections to go' metric_is connections 1
served 'after the flood'
left_nothing 'after the flood'

# Two that never read: their work pauses, and ends when they have been silent for too long.
mkfifo "$dir/hold"
for i in 1 2; do
  "$hostile" "$port" deaf <"$dir/hold" >"$dir/deaf.$i" &
  eval "deaf$i=\$!"
done
exec 9>"$dir/hold"
wait_for 'both to ask' sh -c "[ -s '$dir/deaf.1' ] && [ -s '$dir/deaf.2' ]"
served 'beside deaf ones'
left_nothing 'after deaf ones'
exec 9>&-
# shellcheck disable=SC2154 # set by eval
wait "$deaf1" "$deaf2"

# Bodies that are appended as they arrive, and break off.
new_stream '{}'
mkfifo "$dir/broken"
for i in 1 2 3; do
  curl -s -T - -X POST "$base/v1/streams/$stream/append" -H 'Content-Type: text/plain' <"$dir/broken" \
    >/dev/null 2>&1 &
  client=$!
  exec 9>"$dir/broken"
  printf 'the river runs on ' >&9 # the server reads, and waits for more
  wait_for 'the append' metric_is tasks 1
  kill -9 "$client"
  exec 9>&-
  wait_for 'its end' metric_is tasks 0
done
# Whoever follows a log may be silent for longer than anybody else.
{
  printf 'the mill hums '
  sleep 5
  printf 'by the weir'
} | curl -s -T - -X POST "$base/v1/streams/$stream/append" -H 'Content-Type: text/plain' >"$dir/out"
ok 'a log with a pause' test "$(json "$dir/out" appended)" -gt 5
look "/v1/streams/$stream"
ok 'what came is there' test "$(json "$dir/out" index)" -gt 0
equal 'and no more is on its way' "$(json "$dir/out" waiting)" 0
look "/v1/streams/$stream" -X DELETE
left_nothing 'at the end'
equal 'no memory is promised to anybody' "$(promised)" "$memory"

stop

# shellcheck disable=SC3045 # dash has it
ulimit -n 1000
refuses 'needs 1064 open files' serve "$model" --listen 127.0.0.1:0 --connections 1000
done_with
