#!/bin/sh
# Past the window: weir's sinks and window beside llama.cpp's --context-shift, on as large a cache.
#
#     bench/streaming_against_llama_cpp.sh [--sinks N] [--window N] [--text N] [--rounds N] [--threads N]
#                            [--json] [--peer-args 'ARGS'] [--weir-args 'ARGS'] LLAMA_COMPLETION MODEL.gguf
#
# The peer is given a prompt that fills its context of sinks + window (4 + 1020) almost, then makes text:
# when it is full it drops the older half of what is not kept and turns the keys of the rest. So it
# attends 3/4 of the window in the mean, weir all of it. --text (half the window, the default) times the
# peer over one such turn, and weir over as many tokens through its full window: evaluating alone on both
# sides, without sampling, in tokens per second. The peer keeps the first token besides, if the model
# begins with BOS. The model must be trained for as large a cache.
#
# Beside it the time of weir's tokens by percentile: p99 over p50 says how even they are. llama.cpp's
# programs tell only their mean. Builds nothing; WEIR names the program, else it is build/weir.
usage="$0 [--sinks N] [--window N] [--text N] [--rounds N] [--threads N] [--json] [--peer-args 'ARGS'] \
[--weir-args 'ARGS'] LLAMA_COMPLETION MODEL.gguf"
sinks=4
window=1020
text=0
# shellcheck source=bench/peer.sh
. "$(dirname "$0")/peer.sh"
arguments 'sinks window text' "$@"
[ "$text" -gt 0 ] || text=$((window / 2 > 1 ? window / 2 : 2))
cache=$((sinks + window))

# words N: a prompt.
words() { awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "a " }' >"$dir/prompt"; }

# go_on N: the prompt, then N tokens; ends with the peer's times on stderr.
go_on() {
  # shellcheck disable=SC2086 # separate words
  call "$peer" -m "$model" -f "$dir/prompt" -c "$cache" -n "$1" --keep "$sinks" --context-shift \
    --ignore-eos --temp 0 -t "$threads" -no-cnv --no-warmup $peer_args
}

# timed PHASE NUMBER: the first (ms) or second (tokens) number of the peer's line of that phase.
timed() {
  sed -n "s/.*[^a-z]$1 time *= *\([0-9.]*\) ms *\/ *\([0-9]*\) .*/\\$2/p" "$dir/err" | tail -n 1
}

# tokens WORDS: of such a prompt, as the peer counts them.
tokens() {
  words "$1"
  go_on 1
  count=$(timed 'prompt eval' 2)
  note counts llama-completion "$count"
}

tokens 16
few=$count
tokens 32
each=$((count - few))
[ "$each" -gt 0 ] || stop 'a longer prompt has no more tokens'
# as many words as stay a little below the context, which the peer wants
fits=$((16 + (cache - 8 - few) * 16 / each))
[ "$fits" -gt 0 ] || stop "a cache of $cache is too small"
words "$fits"

round=1
while [ "$round" -le "$rounds" ]; do
  go_on "$((text + 1))"
  ms=$(timed eval 1)
  note "peer.$cache" 'llama-completion' \
    "$(awk -v n="$(timed eval 2)" -v ms="${ms:-0}" 'BEGIN { if (ms > 0) print 1000 * n / ms }')"
  weir_bench --policy sink --sinks "$sinks" --window "$window" --prefill "$cache" --decode "$text"
  note "weir.$cache" 'weir bench' "$(field decode tokens_per_second)"
  note_machine
  for percentile in p50_ms p99_ms slowest_ms; do
    note "$percentile" 'weir bench' "$(field decode "$percentile")"
  done
  bytes=$(awk -v bytes="$(field weight_bytes_per_token)" 'BEGIN { print bytes / 1e9 }')
  round=$((round + 1))
done

begin
row "$cache" "$bytes" read_gb_per_second
if [ "$form" = json ]; then
  printf '], "sinks": %s, "window": %s, "text": %s, "weir_ms": {"p50": %s, "p99": %s, "slowest": %s}}\n' \
    "$sinks" "$window" "$text" "$(median p50_ms)" "$(median p99_ms)" "$(median slowest_ms)"
else
  awk -v p50="$(median p50_ms)" -v p99="$(median p99_ms)" -v slowest="$(median slowest_ms)" 'BEGIN {
    printf "\nms of a token of weir: p50 %.3f, p99 %.3f (%.2f times p50), slowest %.3f\n", p50, p99,
      p99 / p50, slowest
  }'
fi
