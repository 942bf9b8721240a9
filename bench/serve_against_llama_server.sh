#!/bin/sh
# A server under load: the time between two tokens of --streams (8) clients that draw text, and what it becomes
# while one more brings a long prompt, weir serve beside llama-server.
#
#     bench/serve_against_llama_server.sh [--streams N] [--seconds N] [--bytes N] [--window N] [--rounds N]
#                        [--threads N] [--json] [--peer-args 'ARGS'] [--weir-args 'ARGS'] LLAMA_SERVER MODEL.gguf
#
# Each draws for --seconds (10) before and after; the prompt has --bytes (4000). Milliseconds, the median of
# --rounds (3) alternating runs. What differs: llama-server has --window (2048) tokens of context for each
# client, where its text ends; weir has 4 sinks and a window of that size, and goes on. Both keep f16 keys and
# values. llama-server feeds as much of a prompt in a step as its own defaults say (--batch-size, --ubatch-size),
# weir a chunk of 128. Builds nothing; WEIR names the program, else it is build/weir, and LATENCY the client, else
# build/bench/serve_latency (ninja -C build bench/serve_latency).
usage="$0 [--streams N] [--seconds N] [--bytes N] [--window N] [--rounds N] [--threads N] [--json] \
[--peer-args 'ARGS'] [--weir-args 'ARGS'] LLAMA_SERVER MODEL.gguf"
streams=8
seconds=10
bytes=4000
window=2048
# shellcheck source=bench/peer.sh
. "$(dirname "$0")/peer.sh"
rounds=3
arguments 'streams seconds bytes window' "$@"
client=${LATENCY:-$(dirname "$0")/../build/bench/serve_latency}
[ -x "$client" ] || stop "$client is no program: ninja -C build bench/serve_latency"
command -v curl >/dev/null || stop 'curl is not installed'

server=''
trap 'if [ -n "$server" ]; then kill -9 "$server" 2>/dev/null; fi; rm -rf "$dir"' EXIT

# serves PROGRAM ARGUMENT...: it answers under $port.
serves() {
  "$@" >"$dir/server.out" 2>"$dir/server.err" </dev/null &
  server=$!
  tries=600
  until [ "$(curl -s -m 5 -o "$dir/health" -w '%{http_code}' "http://127.0.0.1:$port/health")" = 200 ]; do
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ] || ! kill -0 "$server" 2>/dev/null; then
      stop "$1 does not serve: $(tail -n 3 "$dir/server.err")"
    fi
    sleep 0.2
  done
}

figures='without_p50 without_p99 without_max without_rate beside_p50 beside_p99 beside_max beside_rate
  prompt_tokens prompt_seconds'

# measure NAME: the client's figures, and the end of the server.
measure() {
  call "$client" "$port" "$streams" "$seconds" "$bytes" "$1 $round"
  for figure in $figures; do note "$1.$figure" "$1" "$(field "$figure")"; done
  kill "$server"
  wait "$server" 2>/dev/null || :
  server=''
}

# Some port that nobody has.
port=$((20000 + $$ % 10000))
round=1
while [ "$round" -le "$rounds" ]; do
  # shellcheck disable=SC2086 # separate words
  serves "$peer" -m "$model" --host 127.0.0.1 --port "$port" -t "$threads" -np $((streams + 1)) \
    -c $(((streams + 1) * window)) $peer_args
  measure peer
  # shellcheck disable=SC2086
  serves "$weir" serve "$model" --listen "127.0.0.1:$port" --threads "$threads" --quiet --cache "$window" \
    $weir_args
  measure weir
  round=$((round + 1))
done

clock end
if [ "$form" = json ]; then
  printf '{"model": %s, "peer": %s, "threads": %s, "rounds": %s, "streams": %s, "others": %s' "$(quoted "$model")" \
    "$(quoted "$peer")" "$threads" "$rounds" "$streams" "$(others)"
  for figure in $figures; do
    printf ', "%s": {"weir": %s, "peer": %s}' "$figure" "$(median "weir.$figure")" "$(median "peer.$figure")"
  done
  printf '}\n'
else
  echo "$model: $streams clients draw, another brings $(median weir.prompt_tokens) tokens; beside $peer $peer_args"
  echo "$threads threads, $rounds alternating runs; other programs kept $(others) processors busy"
  printf '%-28s %10s %10s\n' '' weir llama-server
  show() { printf '%-28s %10s %10s\n' "$1" "$(median "weir.$2")" "$(median "peer.$2")"; }
  show 'gap, ms: median' without_p50
  show '  99th percentile' without_p99
  show '  longest' without_max
  show 'beside the prompt: median' beside_p50
  show '  99th percentile' beside_p99
  show '  longest' beside_max
  show 'tokens/s of all' without_rate
  show '  beside the prompt' beside_rate
  show 'prompt, s' prompt_seconds
fi
