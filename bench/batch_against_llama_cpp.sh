#!/bin/sh
# Many streams at once: the tokens per second of all together, weir beside llama.cpp.
#
#     bench/batch_against_llama_cpp.sh [--streams N] [--prompt N] [--text N] [--rounds N] [--threads N]
#                        [--json] [--peer-args 'ARGS'] [--weir-args 'ARGS'] LLAMA_BATCHED_BENCH MODEL.gguf
#
# --streams (16) sequences with a prompt of --prompt (16) tokens each, then --text (32) tokens of all of
# them, one of each at a time: the sum of their tokens over the time, as llama-batched-bench has it, the
# median of --rounds (5) alternating runs. Builds nothing; WEIR names the program, else it is build/weir.
usage="$0 [--streams N] [--prompt N] [--text N] [--rounds N] [--threads N] [--json] [--peer-args 'ARGS'] \
[--weir-args 'ARGS'] LLAMA_BATCHED_BENCH MODEL.gguf"
streams=16
prompt=16
text=32
# shellcheck source=bench/peer.sh
. "$(dirname "$0")/peer.sh"
arguments 'streams prompt text' "$@"
"$weir" bench --help | grep -q -e '--streams' ||
  stop "$weir bench has no --streams: this weir decodes one stream at a time"

# The column S_TG of the peer's table: PP TG B N_KV T_PP S_PP T_TG S_TG. Now and then it ends well, but
# before its log has written the row: then again.
peer_speed() {
  for attempt in first second last; do
    # shellcheck disable=SC2086 # separate words
    call "$peer" -m "$model" -c "$((streams * (prompt + text) + 32))" -npp "$prompt" -ntg "$text" \
      -npl "$streams" -t "$threads" $peer_args
    speed=$(cat "$dir/out" "$dir/err" | awk -F '|' -v prompt="$prompt" -v text="$text" \
      -v streams="$streams" '$2 + 0 == prompt && $3 + 0 == text && $4 + 0 == streams { print $9 + 0 }')
    if [ -n "$speed" ] || [ "$exited" -ne 0 ]; then break; fi
  done
  note "peer.x$streams" "llama-batched-bench ($attempt attempt)" "$speed"
}

round=1
while [ "$round" -le "$rounds" ]; do
  peer_speed
  weir_bench --policy dense --beyond --streams "$streams" --prefill "$prompt" \
    --decode "$text"
  note "weir.x$streams" 'weir bench' "$(field batches tokens_per_second)"
  note_machine
  # the weights are read once for all
  bytes=$(awk -v bytes="$(field weight_bytes_per_token)" -v n="$streams" 'BEGIN { print bytes / 1e9 / n }')
  round=$((round + 1))
done

begin
row "x$streams" "$bytes" read_gb_per_second
end_with
