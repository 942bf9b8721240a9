# weir train: from a text to a model that runs, with every sink; the run that goes on; what it refuses.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

text=$dir/text.txt
awk 'BEGIN {
  for (i = 0; i < 400; i++) {
    printf "The cat number %d sat by the river and looked at the moon. ", i * 7 % 31
    print "Then it said hello to dog " i % 13 "."
    if (i % 40 == 39) print "<|endoftext|>"
  }
}' >"$text"
cp "$text" "$dir/more.txt"

# tiny ARGUMENT...: a training of a tenth of a second; what it prints lies in out and err.
tiny() {
  "$weir" train --layers 2 --width 32 --heads 2 --kv-heads 1 --feed-forward 48 --context 32 \
    --batch 4 --threads 1 --vocabulary 300 --data "$text" "$@" >"$dir/out" 2>"$dir/err"
}

# With every sink, and both kinds of positions.
for sink in none zero logit token; do
  out=$dir/$sink.gguf
  ok "$sink" tiny --out "$out" --sink $sink --steps 30 --validation "$dir/more.txt" --evaluate 10 \
    --probe 15 --json
  equal 'lines on stdout' "$(wc -l <"$dir/out")" 1
  equal 'steps' "$(json "$dir/out" step)" 30
  equal 'finished' "$(json "$dir/out" finished)" true
  equal 'tokens' "$(json "$dir/out" tokens)" 3840
  ok 'it learned' awk "BEGIN { exit !($(json "$dir/out" validation_nll) < 5) }"
  ok 'bits per character' awk "BEGIN { exit !($(json "$dir/out" bits_per_character) < 8) }"
  equal 'its log' "$(wc -l <"$dir/$sink.run/log.csv")" 31
  equal 'head of the log' "$(head -n 1 "$dir/$sink.run/log.csv" | cut -d, -f1-6)" \
    step,tokens,rate,loss,gradient_norm,validation_nll
  equal 'evaluated' "$(awk -F, 'NR > 1 && $6 != "" { print $1 }' "$dir/$sink.run/log.csv" |
    tr '\n' ' ')" '10 20 30 '
  equal 'probed' "$(awk -F, 'NR > 1 && $13 != "" { print $1 }' "$dir/$sink.run/log.csv" |
    tr '\n' ' ')" '15 30 '
  ok 'a figure' grep -q '<svg' "$dir/$sink.run/loss.svg"
  "$weir" run "$out" --prompt 'The cat' -n 5 >/dev/null || fail "$sink runs"
done
ok 'alibi' tiny --out "$dir/alibi.gguf" --positions alibi --steps 3
ok 'it says what it will take' grep -q 'parameters; .* of memory; 3 steps of 128 tokens' "$dir/err"
ok 'and how long' grep -q 'this will take about' "$dir/err"
ok 'and what came out' grep -q 'step 3$' "$dir/out"
"$weir" run "$dir/alibi.gguf" --prompt 'The cat' -n 5 >/dev/null || fail 'alibi runs'

# The same command goes on; other options do not.
ok 'it is done' tiny --out "$dir/alibi.gguf" --positions alibi --steps 3
ok 'and says so' grep -q 'nothing is left to train' "$dir/err"
ok 'more steps' tiny --out "$dir/alibi.gguf" --positions alibi --steps 5 --json
equal 'began at' "$(json "$dir/out" begun_at)" 3
equal 'one log' "$(cut -d, -f1 "$dir/alibi.run/log.csv" | tr '\n' ' ')" 'step 1 2 3 4 5 '
again="train --layers 2 --width 32 --heads 2 --kv-heads 1 --feed-forward 48 --context 32
  --batch 4 --vocabulary 300 --data $text --out $dir/alibi.gguf --positions alibi"
# shellcheck disable=SC2086 # words
{
  refuses 'stands at step 5, beyond the 4' $again --steps 4
  refuses 'was begun with --rate 0.002, not 0.1' $again --steps 6 --rate 0.1
  refuses 'another --sink: give that, another --checkpoint folder, or --fresh' $again --sink zero
  refuses '--seed 0, not 4' $again --seed 4
}
ok 'anew' tiny --out "$dir/alibi.gguf" --steps 4 --seed 4 --fresh --json
equal 'from the beginning' "$(json "$dir/out" begun_at)" 0
equal 'a new log' "$(wc -l <"$dir/alibi.run/log.csv")" 5

# Every part of the recipe changes the model; how often it is saved does not.
recipe() { tiny --out "$dir/recipe.gguf" --name same --steps 12 --fresh "$@" && cksum <"$dir/recipe.gguf"; }
usual=$(recipe)
equal 'checkpoints in time' "$(recipe --save-minutes 1)" "$usual"
for changed in '--rate-end 1e-5' '--warm-up 6' '--schedule wsd' '--weight-decay 0.5' '--beta1 0.5' \
  '--beta2 0.9' '--clip 0.01'; do
  # shellcheck disable=SC2086 # separate words
  ok "$changed" test "$(recipe $changed)" != "$usual"
done

# Killed, and gone on: the bits of the run that was not. Ctrl-C saves and says how to go on.
ok 'whole' tiny --out "$dir/whole.gguf" --name same --steps 600 --save-steps 20
# one that came to its end before it was killed begins again
for attempt in 1 2 3 4 5 6 7 8; do
  rm -rf "$dir/killed.run" "$dir/killed.gguf"
  "$weir" train --layers 2 --width 32 --heads 2 --kv-heads 1 --feed-forward 48 --context 32 --batch 4 \
    --threads 1 --vocabulary 300 --data "$text" --out "$dir/killed.gguf" --name same --steps 600 \
    --save-steps 20 >"$dir/out" 2>"$dir/err" &
  child=$!
  wait_for 'some steps' grep -qs '^50,' "$dir/killed.run/log.csv"
  kill -KILL "$child" 2>/dev/null || true
  got=0
  wait "$child" 2>/dev/null || got=$?
  [ "$got" -eq 0 ] || break
done
equal "killed, at attempt $attempt" "$got" 137
ok 'goes on' tiny --out "$dir/killed.gguf" --name same --steps 600 --save-steps 20
ok 'the same bits' cmp "$dir/whole.gguf" "$dir/killed.gguf"
equal 'each step once' "$(cut -d, -f1 "$dir/killed.run/log.csv" | sort -n | uniq | wc -l)" 601
"$weir" train --layers 2 --width 32 --heads 2 --kv-heads 1 --feed-forward 48 --context 32 --batch 4 \
  --threads 1 --vocabulary 300 --data "$text" --out "$dir/stopped.gguf" --steps 100000 --probe 0 \
  --json >"$dir/out" 2>"$dir/err" &
child=$!
wait_for 'some steps' grep -qs '^20,' "$dir/stopped.run/log.csv"
kill -INT "$child"
got=0
wait "$child" || got=$?
equal 'interrupted' "$got" 130
equal 'says so' "$(json "$dir/out" error.status)" CANCELLED
stopped=$(json "$dir/out" step)
equal 'the log ends there' "$(tail -n 1 "$dir/stopped.run/log.csv" | cut -d, -f1)" "$stopped"
ok 'goes on from there' tiny --out "$dir/stopped.gguf" --steps 100000 --probe 0 --minutes 0.005 --json
equal 'from there' "$(json "$dir/out" begun_at)" "$stopped"
equal 'time is up' "$(json "$dir/out" finished)" false
ok 'there is a model' test -s "$dir/stopped.gguf"

# Under nohup the terminal may go; SIGTERM ends it like Ctrl-C.
(trap '' HUP && exec "$weir" train --layers 2 --width 32 --heads 2 --kv-heads 1 --feed-forward 48 \
  --context 32 --batch 4 --threads 1 --vocabulary 300 --data "$text" --out "$dir/nohup.gguf" \
  --steps 100000 --probe 0 >"$dir/out" 2>"$dir/err") &
child=$!
wait_for 'some steps' grep -qs '^20,' "$dir/nohup.run/log.csv"
kill -HUP "$child"
lines=$(wc -l <"$dir/nohup.run/log.csv")
more_lines() { [ "$(wc -l <"$dir/nohup.run/log.csv")" -gt $((lines + 20)) ]; }
wait_for 'more steps' more_lines
kill -TERM "$child"
got=0
wait "$child" || got=$?
equal 'ended' "$got" 130
ok 'says how to go on' grep -q 'the same command goes on there' "$dir/err"

# Minutes alone decide the steps.
ok 'minutes' tiny --out "$dir/minutes.gguf" --minutes 0.01 --json
ok 'some steps' test "$(json "$dir/out" steps)" -ge 1
ok 'a plan' tiny --out "$dir/plan.gguf" --size 1m --tokens 1M --plan --json
equal 'steps of it' "$(json "$dir/out" steps)" 7813
ok 'nothing is written' test ! -e "$dir/plan.run"
ok 'a plan in words' tiny --out "$dir/plan.gguf" --plan
ok 'memory' grep -q '^memory  *[0-9.]* [KMG]iB' "$dir/out"

# Where things go; two texts with weights; a vocabulary of another model.
ok 'elsewhere' "$weir" train --layers 1 --width 32 --heads 1 --kv-heads 1 --feed-forward 32 \
  --context 16 --data "$text:2,$dir/more.txt:1" --vocab "$dir/none.gguf" --steps 4 --batch 2 \
  --out "$dir/elsewhere.gguf" --checkpoint "$dir/folder" --shards "$dir/shards" \
  --log "$dir/own.csv" --plot "$dir/own.png" --format q8_0 --untied >"$dir/out" 2>"$dir/err"
equal 'own log' "$(wc -l <"$dir/own.csv")" 5
equal 'a PNG' "$(head -c 4 "$dir/own.png" | tail -c 3)" PNG
ok 'tokens' test -n "$(ls "$dir/shards")"
ok 'a checkpoint' test -s "$dir/folder/checkpoint"
ok 'no vocabulary of its own' test ! -e "$dir/folder/vocabulary.gguf"

# Refusals: before any time is spent.
set -- train --out "$dir/no.gguf" --data "$text"
refuses 'which text?' train --out "$dir/no.gguf"
refuses 'which model?' train --data "$text"
refuses 'the sizes are: 1m 3m 10m 30m 60m 160m' "$@" --size 5m
refuses 'no multiple of 32' "$@" --width 48 --heads 2 --kv-heads 1 --format q8_0
refuses 'must be heads' "$@" --width 30
refuses 'multiple of kv_heads' "$@" --kv-heads 4
refuses '--sink knows no "some"' "$@" --sink some
refuses '--vocab takes a vocabulary and --vocabulary trains one' "$@" --vocab "$dir/none.gguf" \
  --vocabulary 300
refuses '--steps and --tokens' "$@" --steps 4 --tokens 100
refuses '--rope-base is for rotary' "$@" --positions alibi --rope-base 500
refuses '--decay-share is for a constant rate' "$@" --decay-share 0.5
refuses '--evaluate needs a text' "$@" --evaluate 5
refuses '--evaluate-samples needs a text' "$@" --evaluate-samples 5
refuses 'larger than the batch' "$@" --batch 2 --micro-batch 4
refuses 'a weight must be above 0' train --out "$dir/no.gguf" --data "$text:0"
refuses 'an empty name' train --out "$dir/no.gguf" --data "$text,"
refuses 'a weight for each' train --out "$dir/no.gguf" --data "$text:2,$dir/more.txt"
refuses 'a .png or an .svg' "$@" --plot "$dir/no.gif"
refuses '--rate wants' "$@" --rate 0
refuses '--minutes wants' "$@" --minutes 0
fails 'no such file' train --out "$dir/no.gguf" --data "$dir/nothing"
fails 'is a folder' train --out "$dir/no.gguf" --data "$dir"
fails 'cannot create it' train --out "$dir/nowhere/no.gguf" --data "$text"
: >"$dir/empty"
fails 'an empty file' train --out "$dir/no.gguf" --data "$dir/empty"
head -c 9000 "$weir" >"$dir/binary"
fails "$dir/binary" train --out "$dir/no.gguf" --data "$dir/binary"
fails 'memory' "$@" --size 160m --layers 256 --width 16384 --heads 128 --kv-heads 128 \
  --feed-forward 65536
printf 'ab' >"$dir/short"
fails "$dir/short" "$@" --vocab "$dir/none.gguf" --validation "$dir/short"
got=0
"$weir" train --data "$dir/empty" --out "$dir/no.gguf" --json >"$dir/out" 2>"$dir/err" || got=$?
equal 'exit' "$got" 1
equal 'error as JSON' "$(json "$dir/out" error.status)" IO
ok 'no model' test ! -e "$dir/no.gguf"
done_with
