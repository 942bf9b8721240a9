# tokenize: the tokens of a text, byte for byte.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

model=$dir/model.gguf
make_model "$model"

tokens() { # of the text in $1
  printf '%b' "$1" | "$weir" tokenize "$model" --text - --json >"$dir/out"
  json "$dir/out" tokens
}

equal 'an empty text' "$(tokens '')" '[1]'
ok 'BOS first' starts "$(tokens 'the')" '[1, '
with=$(tokens 'the')
printf 'the' >"$dir/text"
"$weir" tokenize "$model" --text "$dir/text" --no-bos --json >"$dir/out"
equal '--no-bos' "[1, $(json "$dir/out" tokens | cut -c2-)" "$with"
ok 'nothing is stripped' test "$(tokens 'the\n')" != "$with"
ok 'spaces count' test "$(tokens 'the  end')" != "$(tokens 'the end')"

# Pieces put together again are the text: with the space prefix, and bytes as themselves.
"$weir" tokenize "$model" --text "$dir/text" --no-bos >"$dir/table"
equal 'the pieces' "$(sed -e 's/^ *[0-9]*  //' -e 's/▁/ /g' "$dir/table" | tr -d '\n')" \
  ' the'

# Any bytes are a text.
printf '\377\376\000\303(' | "$weir" tokenize "$model" --text - --json >"$dir/out"
json "$dir/out" tokens.# >/dev/null

# Every kind of vocabulary, by itself; control tokens only where that is asked for.
small=${WEIR_ROOT:-.}/tests/golden/tokenizers
printf 'The weir <|end|>' >"$dir/text"
for name in gpt-2 llama-bpe unigram wordpiece-uncased; do
  "$weir" tokenize "$small/$name.gguf" --text "$dir/text" --json >"$dir/out"
  ok "$name" test "$(json "$dir/out" tokens.#)" -gt 4
done
"$weir" tokenize "$small/gpt-2.gguf" --text "$dir/text" --json >"$dir/out"
ok 'no control token' not grep -qE '[[ ]0[],]' "$dir/out"
"$weir" tokenize "$small/gpt-2.gguf" --text "$dir/text" --special --json >"$dir/out"
ok 'a control token' grep -q ' 0\]' "$dir/out"
"$weir" tokenize "$small/wordpiece-uncased.gguf" --text "$dir/text" --json >"$dir/out"
ok '[CLS] and [SEP]' grep -q '\[2, .*, 3\]' "$dir/out"

# A pre-tokenizer that nobody knows.
sed 's/gpt-2/gpt-9/' "$small/gpt-2.gguf" >"$dir/unknown.gguf"
fails 'the pre-tokenizer "gpt-9"' tokenize "$dir/unknown.gguf" --text "$dir/text"
done_with
