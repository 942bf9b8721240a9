# weir plan: the arithmetic that users know, what fits a memory, and that no weights are needed.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# 24 layers, 768 wide, fp16, 10,000 tokens: 703.1 MiB against 144.0 MiB at 4 + 2044: 79.5% less.
model=$dir/model.gguf
"$weir" make-random --out "$model" --layers 24 --width 768 --heads 12 --kv-heads 12 \
  --feed-forward 32 --context 2048 --vocabulary 260 --format Q8_0
"$weir" plan "$model" --sinks 4 --window 2044 --tokens 10k >"$dir/words"
for words in '144.0 MiB (72.0 KiB a token)' '703.1 MiB for 10,000 tokens' '79.5% less'; do
  ok "$words" grep -qF "$words" "$dir/words"
done
plan() { "$weir" plan "$model" "$@" --json >"$dir/plan"; }
value() { json "$dir/plan" "$1"; }
plan --sinks 4 --window 2044 --tokens 10k
equal 'slots' "$(value slots)" 2048
equal 'kv_bytes' "$(value kv_bytes)" $((24 * 2 * 768 * 2 * 2048))
equal 'dense_kv_bytes' "$(value dense_kv_bytes)" $((24 * 2 * 768 * 2 * 10000))
equal 'saved' "$(value saved)" 0.7952
equal 'bytes_per_token' "$(value bytes_per_token)" $((24 * 2 * 768 * 2))
reserved=$(value reserved_bytes)
equal 'reserved' "$reserved" $(($(value page_bytes) + $(value scratch_bytes)))
equal 'one stream' "$(value streams) $(value total_bytes)" "1 $reserved"
equal 'no memory given' "$(value memory) $(value largest_window) $(value streams_that_fit)" \
  'null null null'
plan --sinks 4 --window 2044 --cache-type f32
equal 'f32' "$(value bytes_per_token)" $((24 * 2 * 768 * 4))

# What a stream takes is what eval reserves.
make_model "$dir/small.gguf"
i=0
while [ $i -lt 40 ]; do
  echo "the river runs on, day $i"
  i=$((i + 1))
done >"$dir/text"
for policy in sink window recompute; do
  "$weir" eval "$dir/small.gguf" --text "$dir/text" --policy $policy --cache 40 --tokens 60 --json \
    >"$dir/eval"
  "$weir" plan "$dir/small.gguf" --policy $policy --cache 40 --json >"$dir/plan"
  equal "$policy" "$(value kv_bytes) $(value reserved_bytes)" \
    "$(json "$dir/eval" runs.0.kv_bytes) $(json "$dir/eval" runs.0.reserved_bytes)"
done

# The largest window that fits: it does, and one more does not.
most() {
  policy=$1
  memory=$2
  shift 2
  plan --policy "$policy" --memory "$memory" "$@"
  largest=$(value largest_window)
  option=--window
  [ "$policy" != dense ] || option=--context
  plan --policy "$policy" "$@" $option "$largest"
  fits=$(value total_bytes)
  plan --policy "$policy" "$@" $option $((largest + 1))
  ok "$policy: $largest fits" test "$fits" -le "$memory"
  ok "$policy: one more does not" test "$(value total_bytes)" -gt "$memory"
}
for policy in sink window recompute; do
  most $policy $((64 * 1024 * 1024))
done
most sink 60000000 --sinks 100 --cache-type q8_0 --chunk 8
most sink 400000000 --streams 5
most dense 500000000 --beyond
plan --memory 64M
equal 'M is 1024 squared' "$(value memory)" $((64 * 1024 * 1024))
plan --memory 10G
equal 'no more than it was trained for' "$(value largest_window)" 2044
equal 'how many fit' "$(value streams_that_fit)" $((10 * 1024 * 1024 * 1024 / reserved))
plan --memory 64M --window 2044
equal 'none fits' "$(value streams_that_fit)" 0
plan --streams 3
equal 'three' "$(value total_bytes)" $((3 * reserved))
"$weir" plan "$model" --memory 1G --streams 2 >"$dir/words"
ok 'in words' grep -q 'in 1.0 GiB 6 such streams fit' "$dir/words"
ok 'in words' grep -q 'largest window .* for each of 2 streams' "$dir/words"

for policy in sink window dense; do
  "$weir" plan "$model" --policy $policy --plot "$dir/$policy.svg" >/dev/null
  ok "$policy: drawn" grep -q 'keys and values (MiB)' "$dir/$policy.svg"
done
ok 'two lines, named' grep -q '>sink 4 + 2,044<' "$dir/sink.svg"
ok 'one line' not grep -q '>dense 2,048<' "$dir/dense.svg"
"$weir" plan "$model" --window 1 --sinks 0 --tokens 1 --plot "$dir/one.png" >/dev/null
ok 'the smallest' test -s "$dir/one.png"
refuses '.svg' plan "$model" --plot "$dir/figure.txt"
fails "$dir/none" plan "$model" --plot "$dir/none/x.png"

refuses 'is too little: even with a window of 1' plan "$model" --memory 1k
refuses '--memory wants' plan "$model" --memory 0
refuses '--memory wants' plan "$model" --memory 1T
refuses '--streams wants' plan "$model" --streams 0
refuses '--tokens wants' plan "$model" --tokens 0
# A scaled context takes the place of the trained one.
"$weir" plan "$dir/small.gguf" --rope-scaling yarn --rope-factor 4 --json >"$dir/scaled"
"$weir" plan "$dir/small.gguf" --json >"$dir/plan"
equal 'scaled' "$(json "$dir/scaled" slots)" $((4 * $(value slots)))
done_with
