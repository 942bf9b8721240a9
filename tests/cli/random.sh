# make-random: valid models of many shapes, the same bytes from the same options.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

info_says() { "$weir" info "$2" | grep -qF "$1"; }

"$weir" make-random --out "$dir/a.gguf" --seed 7
"$weir" make-random --out "$dir/b.gguf" --seed 7
"$weir" make-random --out "$dir/c.gguf" --seed 8
ok 'the same seed' cmp "$dir/a.gguf" "$dir/b.gguf"
ok 'another seed' not cmp -s "$dir/a.gguf" "$dir/c.gguf"

for format in F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 IQ4_NL MXFP4; do
  ok "$format" "$weir" make-random --out "$dir/m.gguf" --format $format
  "$weir" run "$dir/m.gguf" --prompt 'the mill' -n 5 --logit-bias 2=-inf --json >"$dir/out"
  equal "$format: tokens" "$(json "$dir/out" tokens.#)" 5
done
for format in Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_XS; do
  ok "$format" "$weir" make-random --out "$dir/m.gguf" --format $format --width 256 --heads 4 \
    --feed-forward 512
  "$weir" run "$dir/m.gguf" --prompt 'the mill' -n 5 --logit-bias 2=-inf --json >"$dir/out"
  equal "$format: tokens" "$(json "$dir/out" tokens.#)" 5
  refuses 'must be a multiple of 256' make-random --out "$dir/no.gguf" --format $format
done
for shape in '--tied' '--heads 6 --kv-heads 3 --head-dim 10' '--layers 1 --heads 1 --kv-heads 1' \
  '--vocabulary 260' '--vocabulary 5000' '--layer-window 16' '--kv-heads 4' '--context 1k'; do
  # shellcheck disable=SC2086 # separate words
  ok "$shape" "$weir" make-random --out "$dir/m.gguf" $shape
  "$weir" run "$dir/m.gguf" --prompt 'the mill' -n 40 --logit-bias 2=-inf --json >"$dir/out"
  equal "$shape: tokens" "$(json "$dir/out" tokens.#)" 40
done

for kind in none/rope/llama zero/rope/weir logit/rope/weir token/rope/llama none/alibi/weir \
  logit/alibi/weir token/alibi/weir; do
  sink=${kind%%/*}
  positions=${kind#*/}
  positions=${positions%/*}
  ok "$kind" "$weir" make-random --out "$dir/m.gguf" --sink "$sink" --positions "$positions"
  "$weir" info "$dir/m.gguf" --json >"$dir/out"
  equal "$kind: family" "$(json "$dir/out" family)" "${kind##*/}"
  equal "$kind: positions" "$(json "$dir/out" positions)" "$positions"
  case $sink in
    token) equal "$kind: sink token" "$(json "$dir/out" sink_token)" true ;;
    *) equal "$kind: sink" "$(json "$dir/out" sink_term)" "$sink" ;;
  esac
  "$weir" run "$dir/m.gguf" --prompt 'the mill' -n 40 --logit-bias 2=-inf --sinks 2 --window 20 \
    --json >"$dir/out"
  equal "$kind: tokens" "$(json "$dir/out" tokens.#)" 40
done
"$weir" make-random --out "$dir/m.gguf" --sink zero --positions alibi
ok 'info says the sink' info_says 'a zero sink in its softmax, linear biases (ALiBi)' "$dir/m.gguf"

for family in gptneox falcon mpt gpt2 stablelm phi2 phi3 qwen2 qwen3 starcoder2 olmo2 smollm3; do
  for form in '' --variant; do
    # shellcheck disable=SC2086 # an empty one is none
    ok "$family $form" "$weir" make-random --out "$dir/m.gguf" --family $family $form --layers 4
    "$weir" info "$dir/m.gguf" --json >"$dir/out"
    equal "$family: family" "$(json "$dir/out" family)" $family
    policy='--sinks 2 --window 20'
    case $family in
      mpt) positions=alibi ;;
      gpt2) positions=learned policy='--policy recompute --window 20' ;;
      *) positions=rope ;;
    esac
    equal "$family: positions" "$(json "$dir/out" positions)" $positions
    # shellcheck disable=SC2086 # separate words
    "$weir" run "$dir/m.gguf" --prompt 'the mill' -n 40 --logit-bias 2=-inf $policy --json >"$dir/out"
    equal "$family $form: tokens" "$(json "$dir/out" tokens.#)" 40
  done
done
"$weir" make-random --out "$dir/m.gguf" --family gpt2
ok 'info says what cannot stream' info_says 'no longer text but with --policy recompute' "$dir/m.gguf"
refuses 'choose the policy recompute' run "$dir/m.gguf" --prompt 'the mill'
refuses 'choose the policy recompute' plan "$dir/m.gguf" --policy window
refuses 'rotary_dim must be an even number up to' make-random --out "$dir/no.gguf" --rotary-dim 3

refuses 'choose the family weir' make-random --out "$dir/no.gguf" --family llama --sink zero
refuses 'choose the family weir' make-random --out "$dir/no.gguf" --family llama --positions alibi
refuses 'none, zero, logit or token, not "one"' make-random --out "$dir/no.gguf" --sink one
refuses 'rope or alibi, not "learned"' make-random --out "$dir/no.gguf" --positions learned
refuses 'llama' make-random --out "$dir/no.gguf" --family gpt9
refuses 'Q8_0' make-random --out "$dir/no.gguf" --format Q9
refuses 'a multiple of kv_heads' make-random --out "$dir/no.gguf" --kv-heads 3
refuses 'a multiple of heads' make-random --out "$dir/no.gguf" --width 66
refuses 'even' make-random --out "$dir/no.gguf" --head-dim 7
refuses '--layers wants' make-random --out "$dir/no.gguf" --layers 0
refuses '--vocabulary wants' make-random --out "$dir/no.gguf" --vocabulary 100
refuses 'layers must be' make-random --out "$dir/no.gguf" --layers 1M
refuses 'where to?' make-random
fails "$dir/none" make-random --out "$dir/none/m.gguf"
ok 'nothing is written' test ! -e "$dir/no.gguf"
done_with
