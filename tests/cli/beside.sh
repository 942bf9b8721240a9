# The scripts that put weir beside llama.cpp, with stand-ins that answer as its programs do.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

model=$dir/model.gguf
make_model "$model"
bench=${WEIR_ROOT:-$(dirname "$0")/../..}/bench
WEIR=$weir
export WEIR

# beside STATUS SCRIPT ARGUMENT...: to $dir/out and $dir/err, with that exit status.
beside() {
  wanted=$1
  script=$2
  shift 2
  got=0
  sh "$bench/$script.sh" "$@" >"$dir/out" 2>"$dir/err" || got=$?
  equal "$script $*: $(cat "$dir/err")" "$got" "$wanted"
}
says() { ok "says $1" grep -q -e "$1" "$dir/err"; }

# stand_in NAME: a program from standard input; its calls are noted in NAME.calls.
stand_in() {
  # shellcheck disable=SC2016 # the dollars are the stand-in's
  { echo '#!/bin/sh' && echo 'echo "$*" >>"$0.calls"' && cat; } >"$dir/$1"
  chmod +x "$dir/$1"
  rm -f "$dir/$1.calls"
}

# A prompt, then text one by one. The speeds of the rounds differ: the median is not the last.
stand_in llama-bench <<'END'
speed=$(wc -l <"$0.calls")
if [ "$4" = 0 ]; then speed=40.25; else speed=$((1000 / speed)).5; fi
echo '[
  {
    "n_prompt": '"$4"',
    "avg_ns": 100,
    "avg_ts": '$speed',
    "stddev_ts": 0.000000,
    "samples_ts": [ '$speed' ]
  }
]'
END
beside 0 against_llama_cpp --rounds 3 --threads 1 --peer-args '-rtr 1' "$dir/llama-bench" "$model"
ok 'nothing on stderr' test ! -s "$dir/err"
equal 'runs in turn' "$(wc -l <"$dir/llama-bench.calls")" 6
ok 'its arguments' grep -q -e "-m $model -p 0 -n 32 -r 1 -t 1 -ngl 0 -rtr 1" "$dir/llama-bench.calls"
# calls 1, 3 and 5 are prompts: 1000.5, 333.5, 200.5
# shellcheck disable=SC2016 # the dollars are awk's
ok 'both, the ratio, the best, the shares' awk '
  $1 == "pp512" {
    prompt = $3 == 333.5 && $2 > 0 && ($2 / $3 - $4) ^ 2 < 1e-3 && $5 >= $2 && $6 == 1000.5 &&
      $8 ~ /%$/ && $9 ~ /%$/ && $10 ~ /^(int8|float)$/
  }
  $1 == "tg32" { text = $3 == 40.25 && $2 > 0 && $10 == "read" }
  END { exit !(prompt && text) }' "$dir/out"
ok 'the machine' grep -q 'reads [0-9.]* GB/s, [0-9]* GFLOP/s' "$dir/out"
ok 'what else went on' grep -q '1 threads, 3 alternating runs; other programs kept' "$dir/out"

beside 0 against_llama_cpp --json --rounds 2 --threads 1 --prompt 40 --text 6 \
  --weir-args '--chunk 16' "$dir/llama-bench" "$model"
equal 'model' "$(json "$dir/out" model)" "$model"
equal 'peer' "$(json "$dir/out" peer)" "$dir/llama-bench"
equal 'arguments' "$(json "$dir/out" weir_args)" '--chunk 16'
equal 'rows' "$(json "$dir/out" rows.0.name) $(json "$dir/out" rows.1.name)" 'pp40 tg6'
equal 'runs' "$(json "$dir/out" rows.0.weir.runs.#) $(json "$dir/out" rows.1.peer.runs.#)" '2 2'
equal 'speed' "$(json "$dir/out" rows.1.peer.median)" 40.25
for field in machine.read_gb_per_second rows.0.ratio rows.0.weir.share rows.1.weir.best \
  rows.1.limit others; do
  json "$dir/out" $field >/dev/null
done
for side in weir peer; do
  json "$dir/out" rows.1.$side.share
  json "$dir/out" rows.1.$side.median
done | tr '\n' ' ' >"$dir/numbers"
# a share is written with four digits after the point
# shellcheck disable=SC2016 # the dollars are awk's
ok 'shares are as the speeds' awk '{
    difference = $1 - $3 * $2 / $4
    bound = 6e-5 * (1 + $2 / $4)
    exit !($1 > 0 && difference < bound && difference > -bound)
  }' "$dir/numbers"

# What all of them refuse.
for script in against_llama_cpp streaming_against_llama_cpp batch_against_llama_cpp; do
  beside 0 "$script" --help
  ok 'help' grep -q '^usage: .*MODEL.gguf$' "$dir/out"
  for bad in '' "$dir/llama-bench" "$dir/llama-bench $model 3" "--rounds 0 $dir/llama-bench $model" \
    "--threads x $dir/llama-bench $model" "--fast 3 $dir/llama-bench $model" '--rounds'; do
    # shellcheck disable=SC2086 # separate words
    beside 2 $script $bad
    says '^usage: '
  done
  beside 1 "$script" "$dir/nothing" "$model"
  says 'nothing is no program'
  beside 1 "$script" "$dir/llama-bench" "$dir/nothing"
  says 'nothing cannot be read'
done

stand_in llama-bench <<'END'
echo 'error: cannot load it' >&2
exit 1
END
beside 1 against_llama_cpp --rounds 1 --threads 1 "$dir/llama-bench" "$model"
says 'exited with 1: error: cannot load it'

# Past the window. The stand-in counts two tokens a word and one more, and takes 20 ms for each.
stand_in llama-completion <<'END'
while [ $# -gt 0 ]; do
  case $1 in
  -f) words=$(wc -w <"$2") ;;
  -n) text=$2 ;;
  esac
  shift
done
echo "prompt of $words" >>"$0.calls"
echo "llama_perf: load time =     188.11 ms
llama_perf: prompt eval time =    2161.09 ms /    $((2 * words + 1)) tokens (    5.39 ms per token)
llama_perf:        eval time =    $((20 * (text - 1))).00 ms /    $((text - 1)) runs   (    8.90 ms per token)
llama_perf:       total time =   11060.33 ms /  1400 tokens" >&2
END
beside 0 streaming_against_llama_cpp --window 60 --text 10 --rounds 2 --threads 1 \
  "$dir/llama-completion" "$model"
ok 'its arguments' grep -q -e '-c 64 -n 11 --keep 4 --context-shift' "$dir/llama-completion.calls"
equal 'a prompt that almost fills the context' "$(tail -n 1 "$dir/llama-completion.calls")" \
  'prompt of 27'
# shellcheck disable=SC2016 # the dollars are awk's
ok 'both' awk '$1 == "64" { found = $3 == 50 && $2 > 0 && $10 == "read" }
  END { exit !found }' "$dir/out"
ok 'percentiles' grep -q 'of weir: p50 [0-9.]*, p99 [0-9.]* ([0-9.]* times p50), slowest' "$dir/out"
beside 0 streaming_against_llama_cpp --json --sinks 0 --window 32 --rounds 1 --threads 1 \
  "$dir/llama-completion" "$model"
equal 'half the window' "$(json "$dir/out" text)" 16
equal 'no sinks' "$(json "$dir/out" sinks) $(json "$dir/out" rows.0.name)" '0 32'
equal 'speed' "$(json "$dir/out" rows.0.peer.median)" 50
json "$dir/out" weir_ms.slowest >/dev/null
beside 1 streaming_against_llama_cpp --window 4096 --rounds 1 --threads 1 "$dir/llama-completion" \
  "$model"
says 'at most 124'
echo 'echo "error: no such option" >&2' | stand_in llama-completion
beside 1 streaming_against_llama_cpp --rounds 1 --threads 1 "$dir/llama-completion" "$model"
says 'no such option'

# Many streams: with a weir that has them, and with one that has not.
# Its first call ends without a row.
stand_in llama-batched-bench <<'END'
[ "$(wc -l <"$0.calls")" -gt 1 ] || exit 0
echo '
|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |
|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|
|    16 |     32 |    8 |    384 |    0.471 |   543.59 |    2.233 |   114.62 |    2.704 |   142.00 |'
END
stand_in with_streams <<'END'
echo '{"weight_bytes_per_token": 1000000000, "machine": {"read_gb_per_second": 20.0, ' \
  '"float_gflop_per_second": 300.5, "int8_gop_per_second": null}, "runs": [{"prefill": ' \
  '{"tokens_per_second": 7.5}, "decode": {"tokens_per_second": 9.5}, "batches": [{"mean_ms": 1.5, ' \
  '"tokens_per_second": 80.0, "streams": 8}]}]}'
case $* in *--help*) echo '  --streams N' ;; esac
END
WEIR=$dir/with_streams
beside 0 batch_against_llama_cpp --json --streams 8 --rounds 1 --threads 2 \
  "$dir/llama-batched-bench" "$model"
equal 'peer' "$(json "$dir/out" rows.0.peer.median)" 114.62
equal 'weir' "$(json "$dir/out" rows.0.weir.median)" 80.0
equal 'ratio' "$(json "$dir/out" rows.0.ratio)" 0.698
equal 'the weights are read once for all' "$(json "$dir/out" rows.0.weir.share)" 0.5
equal 'no limit of int8' "$(json "$dir/out" machine.int8_gop_per_second)" null
ok 'its arguments' grep -q -e '-npp 16 -ntg 32 -npl 8 -t 2' "$dir/llama-batched-bench.calls"
ok 'ours' grep -q -e '--streams 8 --prefill 16 --decode 32' "$dir/with_streams.calls"
equal 'called again' "$(wc -l <"$dir/llama-batched-bench.calls")" 2
echo 'exit 0' | stand_in llama-batched-bench
beside 1 batch_against_llama_cpp --rounds 1 "$dir/llama-batched-bench" "$model"
says 'last attempt), which exited with 0'
echo 'echo "usage: weir bench"' | stand_in without_streams
WEIR=$dir/without_streams
beside 1 batch_against_llama_cpp "$dir/llama-batched-bench" "$model"
says 'one stream at a time'
done_with
