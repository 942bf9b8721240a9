#!/bin/sh
# weir beside llama.cpp or a relative of it: the same model file, the same threads, runs of both in
# turn, so that what else the machine does falls on both.
#
#     bench/against_llama_cpp.sh [--rounds N] [--threads N] [--prompt N] [--text N] [--json]
#                                [--peer-args 'ARGS'] [--weir-args 'ARGS'] LLAMA_BENCH MODEL.gguf
#
# ppN: a prompt of N tokens (512); tgN: N tokens one by one from an empty context (32), as llama-bench
# measures them, in tokens per second: the median of --rounds (5) and the fastest. Both keep a dense
# cache in f16 and run on the CPU, one thread per CPU unless told. The share is that of the limits weir
# measures in every round: of the int8 products (of float32 ones where the machine has none) for a
# prompt, of reading the weights for text. A peer with matrix units can be above the first.
#
# Builds nothing. LLAMA_BENCH is an installed llama-bench; --peer-args goes to it as it is, such as
# '-rtr 1'. A peer that waits by spinning loses far more than its share of a busy machine: mind how many
# processors other programs kept busy.
# WEIR names the program, else it is build/weir of this repository.
usage="$0 [--rounds N] [--threads N] [--prompt N] [--text N] [--json] [--peer-args 'ARGS'] \
[--weir-args 'ARGS'] LLAMA_BENCH MODEL.gguf"
prompt=512
text=32
# shellcheck source=bench/peer.sh
. "$(dirname "$0")/peer.sh"
arguments 'prompt text' "$@"

# peer_speed NAME N_PROMPT N_GEN: tokens per second, from the JSON of llama-bench.
peer_speed() {
  # shellcheck disable=SC2086 # separate words
  call "$peer" -m "$model" -p "$2" -n "$3" -r 1 -t "$threads" -ngl 0 $peer_args -o json
  note "peer.$1" "llama-bench -p $2 -n $3" "$(tr ',{}' '\n' <"$dir/out" |
    sed -n 's/^ *"avg_ts": *\([0-9.eE+-]*\) *$/\1/p' | head -n 1)"
}

# weir_speed NAME PHASE PREFILL DECODE [OPTION]
weir_speed() {
  # shellcheck disable=SC2086 # an option or nothing
  weir_bench --policy dense --beyond --prefill "$3" --decode "$4" ${5:-}
  note "weir.$1" 'weir bench' "$(field "$2" tokens_per_second)"
}

round=1
while [ "$round" -le "$rounds" ]; do
  peer_speed "pp$prompt" "$prompt" 0
  weir_speed "pp$prompt" prefill "$prompt" 1
  note_machine
  # 1e9 operations of a token's matrix products
  int8=$(field operations_per_token int8)
  work=$(awk -v float="$(field operations_per_token float)" -v int8="$int8" 'BEGIN { print (float + int8) / 1e9 }')
  peer_speed "tg$text" 0 "$text"
  weir_speed "tg$text" decode 1 "$text" --no-machine
  bytes=$(awk -v bytes="$(field weight_bytes_per_token)" 'BEGIN { print bytes / 1e9 }')
  round=$((round + 1))
done

begin
if [ -n "$(median int8_gop_per_second)" ] && awk -v int8="$int8" 'BEGIN { exit !(int8 > 0) }'; then
  row "pp$prompt" "$work" int8_gop_per_second
else
  row "pp$prompt" "$work" float_gflop_per_second
fi
row "tg$text" "$bytes" read_gb_per_second
end_with
