# weir bench: what it prints and writes, what it refuses. No time is
# asserted, only that there is one and that percentiles are in order.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

model=$dir/model.gguf
make_model "$model"
run() { "$weir" bench "$model" --prefill 200 --decode 20 "$@"; }

# less FILE PATH PATH...: numbers above 0, none less than the one before.
less() {
  file=$1
  shift
  for field; do json "$file" "$field"; done >"$dir/numbers"
  # shellcheck disable=SC2016 # the dollars are awk's
  awk '!($1 > 0 && $1 >= last) { exit 1 } { last = $1 }' "$dir/numbers"
}

# What it says.
run --policy sink,window,recompute,dense --cache 32,64 --beyond --json --csv "$dir/a.csv" \
  --plot "$dir/a.svg" >"$dir/a" 2>"$dir/err"
ok 'nothing on stderr' test ! -s "$dir/err"
equal 'model' "$(json "$dir/a" model)" "$model"
equal 'runs' "$(json "$dir/a" runs.#)" 7
for r in 0 1 2 3 4 5 6; do
  for phase in prefill decode; do
    at=runs.$r.$phase
    ok "run $r: $phase" less "$dir/a" $at.p50_ms $at.p90_ms $at.p99_ms $at.slowest_ms
    ok "run $r: $phase" less "$dir/a" $at.tokens_per_second
    ok "run $r: $phase" less "$dir/a" $at.mean_ms
    ok "run $r: $phase" less "$dir/a" $at.seconds
  done
  equal "run $r: tokens" "$(json "$dir/a" runs.$r.prefill.tokens)" 200
  equal "run $r: tokens" "$(json "$dir/a" runs.$r.decode.timed)" 20
  ok "run $r: bytes" less "$dir/a" runs.$r.kv_bytes runs.$r.reserved_bytes
  json "$dir/a" runs.$r.resident_bytes >/dev/null
  ok "run $r: share" less "$dir/a" runs.$r.prefill.compute_share
  equal "run $r: whole" "$(json "$dir/a" runs.$r.partial)" false
done
equal 'order' "$(for r in 0 1 2 3 4 5 6; do
  json "$dir/a" runs.$r.policy
  json "$dir/a" runs.$r.sinks
  json "$dir/a" runs.$r.slots
done | tr '\n' ' ')" \
  'sink 4 32 sink 4 64 window 0 32 window 0 64 recompute 0 32 recompute 0 64 dense 0 220 '
ok 'ratio' less "$dir/a" runs.0.ratio_to_recompute
ok 'ratio' less "$dir/a" runs.0.median_ratio_to_recompute
equal 'ratio to itself' "$(json "$dir/a" runs.4.ratio_to_recompute)" 1.0
equal 'none of dense' "$(json "$dir/a" runs.6.ratio_to_recompute)" null
ok 'share' less "$dir/a" runs.0.decode.read_share
equal 'none of recompute' "$(json "$dir/a" runs.4.decode.read_share)" null
# 2 layers, keys and values, 2 heads of 16, 2 bytes: 256 bytes a slot
equal 'kv_bytes' "$(json "$dir/a" runs.1.kv_bytes)" $((64 * 256))
for field in read_gb_per_second float_gflop_per_second threads; do
  ok "machine: $field" less "$dir/a" machine.$field
done
json "$dir/a" machine.int8_gop_per_second >/dev/null
json "$dir/a" machine.tile_gop_per_second >/dev/null
ok 'weights' less "$dir/a" weight_bytes_per_token
equal 'CSV head' "$(head -n 1 "$dir/a.csv")" 'run,policy,sinks,window,phase,index,tokens,ms'
# two chunks, 20 tokens; recompute: one piece
equal 'CSV rows' "$(wc -l <"$dir/a.csv")" $((1 + 5 * 22 + 2 * 21))
equal 'CSV: the second chunk' "$(sed -n 3p "$dir/a.csv" | cut -d, -f1-7)" '0,sink,4,28,prefill,128,72'
equal 'CSV: the last token' "$(sed -n 23p "$dir/a.csv" | cut -d, -f1-7)" '0,sink,4,28,decode,219,1'
ok 'figure' grep -q '<svg' "$dir/a.svg"

# Other forms.
run --no-machine --json >"$dir/b"
equal 'one run' "$(json "$dir/b" runs.#)" 1
equal 'the trained context' "$(json "$dir/b" runs.0.slots)" 128
equal 'no machine' "$(json "$dir/b" machine)" null
equal 'no share' "$(json "$dir/b" runs.0.decode.read_share)" null
equal 'no ratio' "$(json "$dir/b" runs.0.ratio_to_recompute)" null
"$weir" bench "$model" --no-machine --prefill 1 --decode 1 --window 60 --policy sink,recompute \
  --sinks 0,2 --chunk 7 --threads 1 --seed 5 --json >"$dir/b"
equal 'seed' "$(json "$dir/b" seed)" 5
equal 'one token' "$(json "$dir/b" runs.1.decode.tokens)" 1
ok 'compared by window' less "$dir/b" runs.1.ratio_to_recompute
run --window 30 --plot "$dir/a.png" >"$dir/words"
ok 'words' grep -q '^sink .* 4 .* 30 .*decode' "$dir/words"
ok 'the machine' grep -q 'GB/s' "$dir/words"


# Many streams as one batch.
run --policy sink,dense --cache 32 --beyond --no-machine --streams 1,3,40 --csv "$dir/batches.csv" \
  --json >"$dir/b"
for r in 0 1; do
  equal "run $r: batches" "$(json "$dir/b" runs.$r.batches.#)" 3
  for k in 0 1 2; do
    at=runs.$r.batches.$k
    ok "batch $k: times" less "$dir/b" $at.p50_ms $at.p90_ms $at.p99_ms $at.slowest_ms
    ok "batch $k: speed" less "$dir/b" $at.tokens_per_second
    ok "batch $k: ratio" less "$dir/b" $at.ratio_to_one
    ok "batch $k: share" less "$dir/b" $at.prefill_share
    equal "batch $k: steps" "$(json "$dir/b" $at.timed)" 20
  done
  equal "run $r: ratio to itself" "$(json "$dir/b" runs.$r.batches.0.ratio_to_one)" 1.0
  equal "run $r: tokens" "$(json "$dir/b" runs.$r.batches.2.tokens)" 800
  ok "run $r: bytes" less "$dir/b" runs.$r.batches.0.reserved_bytes \
    runs.$r.batches.1.reserved_bytes runs.$r.batches.2.reserved_bytes
done
equal 'CSV of batches' "$(grep -c batch, "$dir/batches.csv")" 120
run --no-machine --streams 2 --json >"$dir/b"
equal 'no single stream' "$(json "$dir/b" runs.0.batches.0.ratio_to_one)" null
run --no-machine --streams 1,2 >"$dir/words"
ok 'words of batches' grep -q '^sink .* 2 .*x' "$dir/words"
refuses 'does not apply to --policy recompute' bench "$model" --policy recompute --streams 2
refuses '--streams wants' bench "$model" --streams 0

"$weir" bench --help >"$dir/words"
ok 'help' grep -q '^usage: weir bench' "$dir/words"
"$weir" --help >"$dir/words"
ok 'listed' grep -q '^  bench ' "$dir/words"

# What it refuses.
refuses 'needs a model' bench
refuses '--prefill wants' bench "$model" --prefill 0
refuses '--decode wants' bench "$model" --decode 0
refuses '--decode wants' bench "$model" --decode 1G
refuses '--seed wants' bench "$model" --seed -1
refuses '--policy knows no' bench "$model" --policy sink,fast
refuses '--window and --cache' bench "$model" --window 8 --cache 12
refuses '--sinks does not apply' bench "$model" --policy window --sinks 4
refuses '--cache does not apply' bench "$model" --policy dense --cache 64
refuses '--context does not apply' bench "$model" --context 64
refuses 'at most 124' bench "$model" --window 125
refuses 'choose --policy sink' bench "$model" --policy dense
refuses 'raise it' bench "$model" --policy dense --context 100
refuses 'more than 64 runs' bench "$model" --cache 10,11,12,13,14,15,16,17 \
  --sinks 0,1,2,3,4,5,6,7,8
refuses '.svg' bench "$model" --plot "$dir/figure.txt"
refuses 'turbo' bench "$model" --cpu turbo
fails "$dir/none.gguf" bench "$dir/none.gguf"
fails "$dir/none/x.csv" bench "$model" --csv "$dir/none/x.csv"
fails "$dir/none/x.png" bench "$model" --plot "$dir/none/x.png"
got=0
"$weir" bench "$model" --prefill 0 --json >"$dir/out" 2>"$dir/err" || got=$?
equal 'exit with --json' "$got" 2
equal 'message' "weir: $(json "$dir/out" error.message)" "$(cat "$dir/err")"
got=0
run --no-machine --csv /dev/full >"$dir/words" 2>"$dir/err" || got=$?
equal 'a full disk' "$got" 1
ok 'says which file' grep -q '/dev/full' "$dir/err"
ok 'the figures are shown all the same' grep -q '^sink' "$dir/words"

# Ctrl-C prints what there is, and leaves no file.
measured() { grep -q 'stopped after' "$dir/cut" || "$check_json" runs.0.decode.slowest_ms <"$dir/cut" >"$dir/ms"; }
for form in '' --json; do
  # shellcheck disable=SC2086 # none or one word
  cut_short measured bench "$model" --decode 10M --no-machine --csv "$dir/cut.csv" $form
  equal 'exit when interrupted' "$got" 130
  ok 'says so' grep -q 'interrupted in run 1 of 1' "$dir/err"
  ok 'no file' test ! -e "$dir/cut.csv"
  if [ -n "$form" ]; then
    equal 'the error' "$(json "$dir/cut" error.status)" CANCELLED
    equal 'partial' "$(json "$dir/cut" runs.0.partial)" true
    ok 'and the times' less "$dir/cut" runs.0.decode.p50_ms runs.0.decode.slowest_ms
  else
    ok 'the table' grep -q 'stopped after' "$dir/cut"
  fi
done

done_with
