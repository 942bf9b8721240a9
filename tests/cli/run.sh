# run: the same text however it comes about, saved streams, and ends in order.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

model=$dir/model.gguf
make_model "$model"
small='--sinks 4 --window 28'

# The same stream, whatever the chunk, the threads and the way of feeding.
printf 'the river runs on, and the mill hums by the weir all day and all night' >"$dir/text"
# shellcheck disable=SC2086 # separate words
{
  "$weir" run "$model" $small --file "$dir/text" -n 60 >"$dir/whole" 2>"$dir/err"
  "$weir" run "$model" $small --prompt "$(cat "$dir/text")" -n 60 >"$dir/prompt" 2>/dev/null
  "$weir" run "$model" $small --file - -n 60 --chunk 3 --threads 2 <"$dir/text" >"$dir/piped" \
    2>/dev/null
}
ok 'text is made' test -s "$dir/whole"
ok '--prompt and --file' cmp "$dir/whole" "$dir/prompt"
ok '--file - and another chunk' cmp "$dir/whole" "$dir/piped"
equal 'forgetting is said once' "$(grep -c 'forgotten' "$dir/err")" 1
equal 'and nothing else' "$(wc -l <"$dir/err")" 1
"$weir" run "$model" --prompt 'the' -n 5 >/dev/null 2>"$dir/err"
ok 'and not before' test ! -s "$dir/err"

# With a heavy penalty no token comes twice; without one, some do.
tokens_of() { tr -d '\n' <"$dir/out" | sed 's/.*"tokens": *\[\([^]]*\)\].*/\1/' | tr -cs '0-9' '\n' | grep .; }
for penalty in --presence-penalty --frequency-penalty; do
  "$weir" run "$model" --prompt 'the' --temp 0 -n 50 --logit-bias 2=-inf --json >"$dir/out"
  tokens_of >"$dir/free"
  "$weir" run "$model" --prompt 'the' --temp 0 -n 50 --logit-bias 2=-inf --json $penalty 100 \
    >"$dir/out"
  tokens_of >"$dir/penal"
  equal "$penalty: tokens" "$(wc -l <"$dir/penal")" 50
  equal "$penalty: none twice" "$(sort "$dir/penal" | uniq -d)" ''
  ok 'some twice without' test -n "$(sort "$dir/free" | uniq -d)"
done

# Saved and loaded: the text of an uninterrupted run.
# shellcheck disable=SC2086 # separate words
"$weir" run "$model" $small --file "$dir/text" -n 25 --save "$dir/saved" >"$dir/one" 2>/dev/null
"$weir" run "$model" --load "$dir/saved" -n 35 >"$dir/two" 2>"$dir/err"
cat "$dir/one" "$dir/two" >"$dir/both"
ok 'save and load' cmp "$dir/whole" "$dir/both"
ok 'forgetting had begun before' test ! -s "$dir/err"
"$weir" make-random --out "$dir/other.gguf" --vocabulary 512 --seed 4 --context 128
fails "$dir/other.gguf" run "$dir/other.gguf" --load "$dir/saved"
head -c 1000 "$dir/saved" >"$dir/cut"
fails "$dir/cut" run "$model" --load "$dir/cut"

# A seed is a text; greedy needs none.
"$weir" run "$model" --prompt x -n 20 --seed 1 >"$dir/a"
"$weir" run "$model" --prompt x -n 20 --seed 1 >"$dir/b"
"$weir" run "$model" --prompt x -n 20 --seed 2 >"$dir/c"
ok 'the same seed' cmp "$dir/a" "$dir/b"
ok 'another seed' not cmp -s "$dir/a" "$dir/c"

# Bias and stop strings.
"$weir" run "$model" --prompt x -n 4 --temp 0 --logit-bias 300=1000 --json >"$dir/out"
equal 'bias' "$(json "$dir/out" tokens)" '[300, 300, 300, 300]'
"$weir" run "$model" --prompt x -n 50 --temp 0 --logit-bias 263=1000 --stop oooo --json >"$dir/out"
equal 'stop' "$(json "$dir/out" reason)" stop
equal 'the stop text is not shown' "$(json "$dir/out" text)" ''
"$weir" run "$model" --prompt x -n 50 --temp 0 --logit-bias 2=1000 --json >"$dir/out"
equal 'the end of the text' "$(json "$dir/out" reason)" end
"$weir" run "$model" --prompt x -n -1 --stop-at-end --temp 0 --logit-bias 2=1000 --json |
  tail -n 1 >"$dir/out"
equal '--stop-at-end' "$(json "$dir/out" reason)" end

# What is pinned, and no prompt at all.
"$weir" run "$model" --system 'the mill' --prompt ' hums' -n 200 --json >"$dir/out" 2>"$dir/err"
ok 'system is among the first' grep -q 'sees the first' "$dir/err"
"$weir" run "$model" --pin 40 --prompt x -n 200 >/dev/null 2>"$dir/err"
ok 'pinned' grep -q 'sees the first 40 and the last 88 tokens' "$dir/err"
"$weir" run "$model" -n 5 --json >"$dir/out"
equal 'no prompt: only BOS' "$(json "$dir/out" prompt_tokens)" 1

# Dense: fits, or is refused before any work.
"$weir" run "$model" --policy dense --prompt x -n 100 >/dev/null
"$weir" run "$model" --policy dense --beyond --prompt x -n 200 >/dev/null

# Looking back: the same text, whatever the sampling, and figures of it.
for how in '--temp 0' '--seed 5' '--temp 0 --logit-bias 300=1000'; do
  # shellcheck disable=SC2086 # separate words
  {
    "$weir" run "$model" $small $how --prompt 'the mill' -n 150 --json >"$dir/a" 2>/dev/null
    "$weir" run "$model" $small $how --prompt 'the mill' -n 150 --json --lookup 9 >"$dir/b" \
      2>/dev/null
  }
  equal "tokens with $how" "$(json "$dir/b" tokens)" "$(json "$dir/a" tokens)"
  ok 'drafts are counted' test "$(json "$dir/b" accepted)" -le "$(json "$dir/b" drafted)"
done
ok 'and only then' not grep -q drafted "$dir/a"
refuses '--lookup wants' run "$model" --lookup 32
refuses '--lookup does not apply to --policy recompute' run "$model" --policy recompute --lookup 4
refuses '--lookup does not apply with --chunk 1' run "$model" --chunk 1 --lookup 4
refuses '--lookup does not apply with -n 0' run "$model" --prompt x -n 0 --lookup 4

# Statistics.
"$weir" run "$model" --prompt x -n 40 --stats 10 >/dev/null 2>"$dir/err"
equal 'a head and four lines' "$(wc -l <"$dir/err")" 5
"$weir" run "$model" --prompt x -n 40 --stats 10 --lookup 4 >/dev/null 2>"$dir/err"
equal 'and one about drafts' "$(tail -n 1 "$dir/err" | cut -d: -f1)" 'looked back'

# Standard output that nobody reads: quiet, exit 1, and the stream is saved.
got=$( (
  set +e
  "$weir" run "$model" --prompt x -n -1 --save "$dir/piped.saved" 2>"$dir/err"
  echo $? >"$dir/got"
) | head -c 20 >/dev/null
cat "$dir/got")
equal 'a closed pipe' "$got" 1
ok 'quietly' not grep -v forgotten "$dir/err"
ok 'saved' test -s "$dir/piped.saved"
got=0
"$weir" run "$model" --prompt x -n 5 >&- 2>"$dir/err" || got=$?
equal 'stdout closed' "$got" 1
if [ -w /dev/full ]; then
  got=0
  "$weir" run "$model" --prompt x -n 5 >/dev/full 2>"$dir/err" || got=$?
  equal 'a full disk' "$got" 1
  ok 'says why' grep -q 'No space left' "$dir/err"
  got=0
  "$weir" tokenize "$model" --text "$dir/text" --json >/dev/full 2>"$dir/err" || got=$?
  equal 'a full disk (JSON)' "$got" 1
  fails 'No space left' logits "$model" --tokens 1,2,3 --out /dev/full
fi
# Where nothing can be saved, no work begins.
fails "$dir/none/saved" run "$model" --prompt x -n 5 --save "$dir/none/saved"
fails "$dir" run "$model" --prompt x -n 5 --save "$dir"
fails "$dir/none/saved" chat "$model" --save "$dir/none/saved"
done_with
