# weir cloze: what it prints, what it refuses, and that a model knows more than chance.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

model=$WEIR_ROOT/models/weir-small.gguf
prose=$WEIR_ROOT/models/prose.txt

"$weir" cloze "$model" --text "$prose" --questions 60 --json >"$dir/a" 2>"$dir/err"
ok 'nothing on stderr' test ! -s "$dir/err"
equal 'questions' "$(json "$dir/a" questions)" 60
equal 'choices' "$(json "$dir/a" choices)" 10
for field in model bos sentences correct accuracy low high chance nll passage_nll passage_tokens seconds; do
  json "$dir/a" "$field" >/dev/null
done
# 60 questions: chance is 6, and 14 right would come by chance once in a thousand
ok 'better than chance' test "$(json "$dir/a" correct)" -ge 14

# Neither chunk nor threads matter; the seed and the choices do.
same() { sed 's/"seconds.*//' "$1"; }
"$weir" cloze "$model" --text "$prose" --questions 60 --chunk 5 --threads 1 --json >"$dir/b"
equal 'chunk and threads' "$(same "$dir/a")" "$(same "$dir/b")"
"$weir" cloze "$model" --text "$prose" --questions 60 --seed 9 --json >"$dir/b"
ok 'another seed' test "$(same "$dir/a")" != "$(same "$dir/b")"
"$weir" cloze "$model" --text "$prose" --questions 60 --choices 2 --json >"$dir/b"
ok 'two choices are easier' test "$(json "$dir/b" correct)" -gt "$(json "$dir/a" correct)"
"$weir" cloze "$model" --text "$prose" --questions 60 --no-bos --context 40 --json >"$dir/b"
ok 'short passages' test "$(json "$dir/b" passage_tokens | cut -d. -f1)" -le 40
"$weir" cloze "$model" --text "$prose" --questions 5 >"$dir/words"
ok 'words' grep -q 'chance' "$dir/words"

# A model that knows nothing is right by chance: of 300, 30, and 14 to 49 but once in 3,000.
make_model "$dir/model.gguf"
"$weir" cloze "$dir/model.gguf" --text "$prose" --questions 300 --json >"$dir/b"
ok 'chance' test "$(json "$dir/b" correct)" -ge 14 -a "$(json "$dir/b" correct)" -le 49

# What it refuses.
printf 'One sentence is not enough for a choice of ten words.\n' >"$dir/short.txt"
yes 'The very same words end every sentence here.' | head -n 50 >"$dir/same.txt"
: >"$dir/empty.txt"
for letter in a b c d e f g h i j k l; do
  echo "This one here has a word of $letter$(printf '%030d' 0 | tr 0 "$letter")."
done >"$dir/long.txt"
refuses 'needs a model' cloze
refuses '--text FILE is missing' cloze "$model"
refuses '--choices wants' cloze "$model" --text "$prose" --choices 33
refuses 'does not fit' cloze "$model" --text "$prose" --context 100k
refuses 'no room' cloze "$dir/model.gguf" --text "$dir/long.txt" --context 8
refuses 'sentences to ask about' cloze "$model" --text "$dir/short.txt"
refuses 'too few different words' cloze "$model" --text "$dir/same.txt"
refuses 'sentences to ask about' cloze "$model" --text "$dir/empty.txt"
fails 'No such file' cloze "$model" --text "$dir/none.txt"
fails 'no such file' cloze "$dir/none.gguf" --text "$prose"

done_with
