# What --json prints: the fields that users and other programs rely on.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

model=$dir/model.gguf
make_model "$model"
i=0
while [ $i -lt 40 ]; do
  echo "the river runs on and the mill hums by the weir, day $i"
  i=$((i + 1))
done >"$dir/text"

# run
"$weir" run "$model" --prompt 'the river' -n 12 --temp 0 --json >"$dir/run" 2>"$dir/err"
ok 'run says nothing on stderr' test ! -s "$dir/err"
for field in prompt_tokens tokens text seconds decode_tokens_per_second prefill_tokens_per_second \
  evicted; do
  json "$dir/run" "$field" >/dev/null
done
equal 'tokens made' "$(json "$dir/run" tokens.#)" 12
equal 'nothing forgotten' "$(json "$dir/run" evicted)" 0
"$weir" tokenize "$model" --text - --json >"$dir/prompt" <<END
the river
END
"$weir" run "$model" --file "$dir/text" -n 0 --json >"$dir/fed" 2>/dev/null
"$weir" tokenize "$model" --text "$dir/text" --json >"$dir/tokens"
equal 'a file is fed as it is tokenised' "$(json "$dir/fed" prompt_tokens)" \
  "$(json "$dir/tokens" tokens.#)"
total=$(json "$dir/tokens" tokens.#)
equal 'evicted: all but S+W' "$(json "$dir/fed" evicted)" $((total - 128))
equal 'no tokens' "$(json "$dir/fed" tokens.#)" 0

# run -n -1: a line of JSON per token
"$weir" run "$model" --prompt x -n -1 --seconds 1 --json >"$dir/lines" 2>/dev/null
head -n 1 "$dir/lines" >"$dir/first"
tail -n 1 "$dir/lines" >"$dir/last"
json "$dir/first" token >/dev/null
json "$dir/first" text >/dev/null
equal 'why it ended' "$(json "$dir/last" reason)" seconds
equal 'as many lines as tokens' "$(json "$dir/last" generated)" $(($(wc -l <"$dir/lines") - 1))

# eval
"$weir" eval "$model" --text "$dir/text" --policy dense,window,recompute,sink --sinks 2,4 \
  --window 30,60 --beyond --tokens 300 --nll "$dir/nll.csv" --json >"$dir/eval" 2>"$dir/err"
ok 'eval says nothing on stderr' test ! -s "$dir/err"
equal 'model' "$(json "$dir/eval" model)" "$model"
equal 'runs: 1 dense, 2 window, 2 recompute, 4 sink' "$(json "$dir/eval" runs.#)" 9
run=0
while [ $run -lt 9 ]; do
  for field in nll ppl ppl_after_window seconds tokens_per_second kv_bytes reserved_bytes \
    peak_memory_bytes sinks window; do
    json "$dir/eval" "runs.$run.$field" >/dev/null
  done
  equal "run $run: tokens" "$(json "$dir/eval" "runs.$run.tokens")" 300
  equal "run $run: scored" "$(json "$dir/eval" "runs.$run.scored")" 299
  run=$((run + 1))
done
equal 'order' "$(for run in 0 1 2 3 4 5 6 7 8; do
  json "$dir/eval" "runs.$run.policy"
  json "$dir/eval" "runs.$run.sinks"
  json "$dir/eval" "runs.$run.window"
done | tr '\n' ' ')" 'dense 0 300 window 0 30 window 0 60 recompute 0 30 recompute 0 60 sink 2 30 sink 2 60 sink 4 30 sink 4 60 '
# 2 layers, keys and values, 2 heads of 16, 2 bytes: 256 bytes a slot
equal 'kv_bytes of 4+60 slots' "$(json "$dir/eval" runs.8.kv_bytes)" $((64 * 256))
equal 'CSV head' "$(head -n 1 "$dir/nll.csv")" 'run,index,token,nll'
equal 'CSV rows' "$(wc -l <"$dir/nll.csv")" $((9 * 299 + 1))
json "$dir/eval" runs.8.nll >"$dir/mean"
# shellcheck disable=SC2016 # the dollars are awk's
ok 'the mean of the rows is nll' awk -F, -v mean="$(cat "$dir/mean")" '
  $1 == 8 { sum += $4; n++ } END { d = sum / n - mean; exit !(n == 299 && d < 1e-6 && d > -1e-6) }' \
  "$dir/nll.csv"
json "$dir/eval" runs.5.ppl_after_window >"$dir/after"
# shellcheck disable=SC2016 # the dollars are awk's
ok 'ppl_after_window: the same cut for every run' awk -F, -v after="$(cat "$dir/after")" '
  $1 == 5 && $2 > 64 { sum += $4; n++ }
  END { d = exp(sum / n) / after - 1; exit !(n == 235 && d < 1e-6 && d > -1e-6) }' "$dir/nll.csv"
"$weir" eval "$model" --text "$dir/text" --tokens 100 --json >"$dir/short"
equal 'nothing beyond the window' "$(json "$dir/short" runs.0.ppl_after_window)" null
"$weir" eval "$model" --text "$dir/text" --policy sink,window --cache 64 >"$dir/table"
ok 'table' grep -q '^sink .* 4 .* 60' "$dir/table"

# Refused before any work: the first run is not made.
got=0
"$weir" eval "$model" --text "$dir/text" --policy sink,dense --nll "$dir/no.csv" >"$dir/out" \
  2>"$dir/err" || got=$?
equal 'dense beyond the trained context' "$got" 2
ok 'says --beyond' grep -q -e --beyond "$dir/err"
ok 'no CSV' test ! -e "$dir/no.csv"

# plan: the arithmetic that users know
"$weir" make-random --out "$dir/big.gguf" --layers 24 --width 768 --heads 12 --kv-heads 12 \
  --feed-forward 32 --context 2048 --vocabulary 260 --format Q8_0
"$weir" plan "$dir/big.gguf" --policy sink --sinks 4 --window 2044 --tokens 10000 --json \
  >"$dir/plan"
equal 'kv_bytes' "$(json "$dir/plan" kv_bytes)" $((24 * 2 * 768 * 2 * 2048))
equal 'dense_kv_bytes' "$(json "$dir/plan" dense_kv_bytes)" $((24 * 2 * 768 * 2 * 10000))
ok 'saved' starts "$(json "$dir/plan" saved)" 0.795
for field in reserved_bytes page_bytes scratch_bytes bytes_per_token slots sinks window; do
  json "$dir/plan" "$field" >/dev/null
done
"$weir" plan "$dir/big.gguf" --window 2044 >"$dir/words"
ok 'plan in words' grep -q '79.5% less' "$dir/words"
"$weir" plan "$dir/big.gguf" --policy dense --beyond --tokens 10000 --json >"$dir/plan"
equal 'dense' "$(json "$dir/plan" kv_bytes)" "$(json "$dir/plan" dense_kv_bytes)"
equal 'dense saves nothing' "$(json "$dir/plan" saved)" null
"$weir" plan "$dir/big.gguf" --policy dense --json >"$dir/plan"
equal 'dense: the trained context' "$(json "$dir/plan" slots)" 2048

# info
"$weir" info "$dir/big.gguf" --json >"$dir/info"
equal 'family' "$(json "$dir/info" family)" llama
equal 'layers' "$(json "$dir/info" layers)" 24
equal 'trained context' "$(json "$dir/info" trained_context)" 2048
equal 'formats' "$(json "$dir/info" formats.#)" 2
equal 'bytes per token' "$(json "$dir/info" cache_bytes_per_token.f16)" $((24 * 2 * 768 * 2))
equal 'suggested' "$(json "$dir/info" suggested.window)" 2044
"$weir" info "$dir/big.gguf" >"$dir/words"
ok 'info in words' grep -q 'trained context *2,048' "$dir/words"
done_with
