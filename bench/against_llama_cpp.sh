#!/bin/sh
# weir beside llama.cpp: the same model file, the same threads, runs of both in turn, so that what
# else the machine does falls on both.
#
#     bench/against_llama_cpp.sh PATH_TO_llama-bench MODEL.gguf [ROUNDS [THREADS]]
#
# pp512: 512 tokens of prompt; tg32: 32 tokens one by one from an empty context, as llama-bench
# measures them; tokens per second, the median of ROUNDS (5). Both keep a dense cache in f16 and run
# on the CPU. Builds nothing. WEIR names the program, else it is build/weir of this repository.
set -eu

if [ $# -lt 2 ] || [ $# -gt 4 ]; then
  echo "usage: $0 PATH_TO_llama-bench MODEL.gguf [ROUNDS [THREADS]]" >&2
  exit 2
fi
peer=$1
model=$2
rounds=${3:-5}
threads=${4:-$(getconf _NPROCESSORS_ONLN)}
weir=${WEIR:-$(dirname "$0")/../build/weir}

for number in "$rounds" "$threads"; do
  case $number in
  '' | 0* | *[!0-9]*)
    echo "$0: \"$number\" is no whole number of at least 1" >&2
    exit 2
    ;;
  esac
done
for program in "$peer" "$weir"; do
  if [ ! -f "$program" ] || [ ! -x "$program" ]; then
    echo "$0: $program is no program" >&2
    exit 1
  fi
done
if [ ! -r "$model" ]; then
  echo "$0: $model cannot be read" >&2
  exit 1
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM HUP

# number WHAT VALUE: a speed, or the end.
number() {
  case $2 in
  [0-9]*) echo "$2" ;;
  *)
    echo "$0: no figure for $1: $(head -n 1 "$dir/err")" >&2
    exit 1
    ;;
  esac
}

# peer_speed N_PROMPT N_GEN: tokens per second, from the JSON of llama-bench.
peer_speed() {
  "$peer" -m "$model" -p "$1" -n "$2" -r 1 -t "$threads" -ngl 0 -o json >"$dir/out" 2>"$dir/err" ||
    true
  number "llama-bench -p $1 -n $2" "$(tr ',{}' '\n' <"$dir/out" |
    sed -n 's/^ *"avg_ts": *\([0-9.eE+-]*\) *$/\1/p' | head -n 1)"
}

# weir_speed PHASE PREFILL DECODE
weir_speed() {
  "$weir" bench "$model" --policy dense --beyond --prefill "$2" --decode "$3" --threads "$threads" \
    --no-machine --json >"$dir/out" 2>"$dir/err" || true
  number "weir bench" "$(sed -n \
    's/.*"'"$1"'": *{[^}]*"tokens_per_second": *\([0-9.eE+-]*\).*/\1/p' "$dir/out")"
}

# median FILE
median() {
  sort -g "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

round=1
while [ "$round" -le "$rounds" ]; do
  peer_speed 512 0 >>"$dir/peer.pp512"
  weir_speed prefill 512 1 >>"$dir/weir.pp512"
  peer_speed 0 32 >>"$dir/peer.tg32"
  weir_speed decode 1 32 >>"$dir/weir.tg32"
  round=$((round + 1))
done

echo "$model, $threads threads, tokens per second, medians of $rounds alternating runs"
printf '%-6s %12s %12s %8s\n' '' weir llama.cpp ratio
for what in pp512 tg32; do
  awk -v what="$what" -v weir="$(median "$dir/weir.$what")" -v peer="$(median "$dir/peer.$what")" \
    'BEGIN { printf "%-6s %12.2f %12.2f %8.2f\n", what, weir, peer, weir / peer }'
done
