# convert and quantize: from a folder to a model that runs, what they print, and refusals.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
golden=${WEIR_ROOT:-.}/tests/golden

folder=$golden/hf_tokenizers/byte-level
ok 'convert' "$weir" convert "$folder" --out "$dir/m.gguf" --name mill >"$dir/out"
ok 'says what' grep -q 'llama, 11 tensors' "$dir/out"
ok 'its name' sh -c "'$weir' info '$dir/m.gguf' | grep -qF 'family llama, \"mill\"'"
"$weir" run "$dir/m.gguf" --prompt 'the mill' -n 5 --logit-bias 1=-inf --json >"$dir/out"
equal 'tokens' "$(json "$dir/out" tokens.#)" 5
for type in f32 f16 bf16 keep; do
  "$weir" convert "$folder" --out "$dir/m.gguf" --type $type --json >"$dir/out"
  equal "$type: family" "$(json "$dir/out" family)" llama
  equal "$type: tensors" "$(json "$dir/out" tensors)" 11
  equal "$type: vocabulary" "$(json "$dir/out" vocabulary)" 405
done
cp "$dir/m.gguf" "$dir/again.gguf"
"$weir" convert "$folder/" --out "$dir/m.gguf" >"$dir/out"
ok 'the same bytes' cmp "$dir/m.gguf" "$dir/again.gguf"
"$weir" convert "$golden/families/llama" --out "$dir/ids.gguf" --no-vocab >"$dir/out"
fails 'no tokenizer' run "$dir/ids.gguf" --prompt 'the mill'
ok 'ids' "$weir" logits "$dir/ids.gguf" --tokens 1,2,3 --out "$dir/rows.f32"

refuses 'where to?' convert "$folder"
refuses 'convert needs a model' convert
refuses '--type' convert "$folder" --out "$dir/no.gguf" --type q4_0
refuses 'no option' convert "$folder" --out "$dir/no.gguf" --typ f32
fails 'config.json' convert "$dir" --out "$dir/no.gguf"
fails '--no-vocab' convert "$golden/families/llama" --out "$dir/no.gguf"
fails "$dir/none" convert "$folder" --out "$dir/none/m.gguf"
refuses 'is none' convert "$golden/hf_tokenizers/wordpiece" --out "$dir/no.gguf" --pre gpt-2
ok 'a name of its own' "$weir" convert "$folder" --out "$dir/m.gguf" --pre dbrx >"$dir/out"

"$weir" make-random --out "$dir/f.gguf" --width 256 --heads 4 --feed-forward 512
for type in F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M \
  Q6_K q4_k_m; do
  ok "$type" "$weir" quantize "$dir/f.gguf" "$dir/q.gguf" --type $type >"$dir/out"
  "$weir" run "$dir/q.gguf" --prompt 'the mill' -n 5 --logit-bias 2=-inf --json >"$dir/out"
  equal "$type: tokens" "$(json "$dir/out" tokens.#)" 5
done
"$weir" quantize "$dir/f.gguf" "$dir/q.gguf" --type Q4_K_M --threads 1 --json >"$dir/out"
equal 'tensors' "$(json "$dir/out" tensors)" 21
equal 'changed' "$(json "$dir/out" changed)" 16
equal 'fallen back' "$(json "$dir/out" fallen_back)" 0
"$weir" quantize "$dir/f.gguf" "$dir/r.gguf" --type Q4_K_M --threads 3 >"$dir/out"
ok 'any number of threads' cmp "$dir/q.gguf" "$dir/r.gguf"
ok 'says how small' grep -q 'bits per weight' "$dir/out"
"$weir" quantize "$dir/f.gguf" "$dir/pure.gguf" --type Q4_0 --pure >"$dir/out"
"$weir" info "$dir/pure.gguf" --json >"$dir/out"
equal 'pure' "$(json "$dir/out" formats.0.format) $(json "$dir/out" formats.0.tensors)" 'Q4_0 16'
fails '--requantize' quantize "$dir/q.gguf" "$dir/no.gguf" --type Q4_0
ok 'twice' "$weir" quantize "$dir/q.gguf" "$dir/r.gguf" --type Q4_0 --requantize >"$dir/out"
refuses 'cannot replace itself' quantize "$dir/f.gguf" "$dir/f.gguf" --type Q8_0
refuses 'Q4_K_M' quantize "$dir/f.gguf" "$dir/no.gguf" --type Q7
refuses 'where to?' quantize "$dir/f.gguf"
refuses 'quantize needs a model' quantize
refuses 'one word too many' quantize "$dir/f.gguf" "$dir/no.gguf" third
ok 'nothing is written' test ! -e "$dir/no.gguf"
done_with
