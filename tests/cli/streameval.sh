# weir streameval: what it prints and writes, what it refuses, and what the model that knows the task
# knows.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

model=$dir/model.gguf
make_model "$model"
run() { "$weir" streameval "$@" --queries 5 --distances 2,60; }

# What it says.
run "$model" --window 60 --json --csv "$dir/a.csv" --plot "$dir/a.svg" >"$dir/a" 2>"$dir/err"
ok 'nothing on stderr' test ! -s "$dir/err"
equal 'model' "$(json "$dir/a" model)" "$model"
equal 'task' "$(json "$dir/a" task)" streameval
equal 'policy' "$(json "$dir/a" policy)" sink
equal 'sinks' "$(json "$dir/a" sinks)" 4
equal 'window' "$(json "$dir/a" window)" 60
equal 'distances' "$(json "$dir/a" distances.#)" 2
ok 'chance' starts "$(json "$dir/a" chance)" 0.0111
for field in seed lines tokens seconds meaning inside.accuracy inside.low inside.high \
  border.questions outside.questions outside.correct; do
  json "$dir/a" "$field" >/dev/null
done
for d in 0 1; do
  equal 'questions' "$(json "$dir/a" "distances.$d.questions")" 5
  for field in lines tokens correct accuracy low high inside border outside; do
    json "$dir/a" "distances.$d.$field" >/dev/null
  done
done
equal 'near: inside' "$(json "$dir/a" distances.0.inside)" 5
equal 'far: outside' "$(json "$dir/a" distances.1.outside)" 5
equal 'CSV head' "$(head -n 1 "$dir/a.csv")" \
  'lines,tokens,questions,correct,accuracy,low,high,chance,inside,border,outside'
equal 'CSV rows' "$(wc -l <"$dir/a.csv")" 3
ok 'figure' grep -q '<svg' "$dir/a.svg"
run "$model" --window 60 --plot "$dir/a.png" >"$dir/words"
ok 'words' grep -q 'lines back' "$dir/words"
ok 'a model that does not know the task' grep -q 'does not know the task' "$dir/words"

# The same seed gives the same; another one another text; neither chunk nor threads matter.
same() { sed 's/"seconds.*//' "$1"; }
run "$model" --window 60 --json --chunk 3 --threads 1 >"$dir/b"
equal 'chunk and threads' "$(same "$dir/a")" "$(same "$dir/b")"
run "$model" --window 60 --json --needle --seed 5 >"$dir/needle"
equal 'task' "$(json "$dir/needle" task)" needle
equal 'seed' "$(json "$dir/needle" seed)" 5
for policy in window recompute; do
  run "$model" --policy "$policy" --window 60 --json >"$dir/b"
  equal "$policy" "$(json "$dir/b" policy) $(json "$dir/b" sinks)" "$policy 0"
done
run "$model" --policy dense --beyond --json >"$dir/b"
equal 'dense keeps all' "$(json "$dir/b" inside.questions)" 10
run "$model" --lines 500 --json >"$dir/b"
ok '--lines before the first question' test "$(json "$dir/b" lines)" -ge 500

# What it refuses.
refuses 'needs a model' streameval
refuses '--distances wants' streameval "$model" --distances 0
refuses '--distances wants' streameval "$model" --distances 5,456976
refuses 'give each distance once' streameval "$model" --distances 5,7,5
refuses '--queries wants' streameval "$model" --queries 0
refuses '--lines wants' streameval "$model" --lines -1
refuses '--seed wants' streameval "$model" --seed -1
refuses '--needle takes no value' streameval "$model" --needle=1
refuses '--window and --cache' streameval "$model" --window 8 --cache 12
refuses '--sinks does not apply' streameval "$model" --policy window --sinks 4
refuses 'at most 124' streameval "$model" --window 125
refuses 'choose --policy sink' streameval "$model" --policy dense --distances 50
refuses 'raise it' streameval "$model" --policy dense --context 100 --distances 50
refuses '.svg' streameval "$model" --plot "$dir/figure.txt"
fails "$dir/none.gguf" streameval "$dir/none.gguf"
fails "$dir/none/x.csv" streameval "$model" --csv "$dir/none/x.csv"
fails "$dir/none/x.png" streameval "$model" --plot "$dir/none/x.png"
got=0
"$weir" streameval "$model" --queries 0 --json >"$dir/out" 2>"$dir/err" || got=$?
equal 'exit with --json' "$got" 2
equal 'message' "weir: $(json "$dir/out" error.message)" "$(cat "$dir/err")"
got=0
"$weir" streameval "$model" --queries 1 --distances 2 --csv /dev/full >"$dir/words" 2>"$dir/err" ||
  got=$?
equal 'a full disk' "$got" 1
ok 'says which file' grep -q '/dev/full' "$dir/err"
ok 'the figures are shown all the same' grep -q 'lines back' "$dir/words"
got=0
"$weir" streameval "$model" --queries 1 --distances 2 --csv /dev/full --json >"$dir/words" \
  2>"$dir/err" || got=$?
equal 'a full disk, with --json' "$got" 1
equal 'the error beside the figures' \
  "$(json "$dir/words" error.status) $(json "$dir/words" distances.0.questions)" 'IO 1'

# Ctrl-C prints what there is, and leaves no file.
asked() {
  grep -q 'lines back' "$dir/cut" ||
    [ "$("$check_json" distances.0.questions <"$dir/cut" || echo 0)" -gt 0 ]
}
for form in '' --json; do
  # shellcheck disable=SC2086 # none or one word
  cut_short asked streameval "$model" --queries 1M --distances 1,2 --csv "$dir/cut.csv" $form
  equal 'exit when interrupted' "$got" 130
  ok 'says so' grep -q 'interrupted after' "$dir/err"
  ok 'no file' test ! -e "$dir/cut.csv"
  if [ -n "$form" ]; then
    equal 'the error' "$(json "$dir/cut" error.status)" CANCELLED
    ok 'and the figures' test "$(json "$dir/cut" distances.0.questions)" -gt 0
  else
    ok 'the table' grep -q 'lines back' "$dir/cut"
  fi
done

# A model that knows the task: the facts in its window, and chance beyond it, far past its context.
recall=${WEIR_ROOT:-$(dirname "$0")/../..}/models/weir-recall.gguf
if [ ! -e "$recall" ]; then
  echo 'models/weir-recall.gguf is not there: what it knows is not tested'
  done_with
  exit 0
fi
# knows FILE: at least 90% inside; outside no more than chance, within three standard deviations.
knows() {
  json "$1" inside.accuracy >"$dir/in"
  json "$1" outside.correct >"$dir/correct"
  json "$1" outside.questions >"$dir/questions"
  # shellcheck disable=SC2016 # the dollars are awk's
  awk -v inside="$(cat "$dir/in")" -v right="$(cat "$dir/correct")" -v n="$(cat "$dir/questions")" \
    'BEGIN { p = 1 / 90; exit !(inside >= 0.9 && n > 0 && right <= n * p + 3 * sqrt(n * p * (1 - p))) }'
}
"$weir" streameval "$recall" --lines 2000 --queries 300 --json >"$dir/known"
ok 'StreamEval' knows "$dir/known"
"$weir" streameval "$recall" --needle --queries 40 --json >"$dir/known"
ok 'needle' knows "$dir/known"
"$weir" streameval "$recall" --policy window --window 100 --queries 40 --json >"$dir/known"
equal 'window: as many questions' "$(json "$dir/known" distances.0.questions)" 40
"$weir" streameval "$recall" --queries 40 >"$dir/words"
ok 'in words' grep -q 'What left it is gone' "$dir/words"
done_with
