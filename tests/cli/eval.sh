# weir eval: figures, parts of the perplexity, replaced sinks, odd texts, files that cannot be written,
# Ctrl-C. What --json promises to others is in json.sh.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

model=$dir/model.gguf
make_model "$model"
i=0
while [ $i -lt 60 ]; do
  echo "the river runs on and the mill hums by the weir, day $i"
  i=$((i + 1))
done >"$dir/text"
run() { "$weir" eval "$model" --text "$dir/text" --tokens 300 "$@"; }

# The same figures, to the last digit, for every chunk: the rows and the means.
same() { sed 's/"seconds"[^}]*//g' "$1"; }
run --policy sink,window,dense,recompute --cache 60 --beyond --json --nll "$dir/rows" >"$dir/one"
for machine in '--chunk 1' '--chunk 7 --threads 1' '--chunk 4096 --threads 2'; do
  # shellcheck disable=SC2086 # separate words
  run --policy sink,window,dense,recompute --cache 60 --beyond --json --nll "$dir/now" $machine \
    >"$dir/two"
  ok "the same rows with $machine" cmp "$dir/rows" "$dir/now"
  equal "the same means with $machine" "$(same "$dir/two")" "$(same "$dir/one")"
done
# shellcheck disable=SC2016 # the dollars are awk's
ok 'within the window all policies see the same' awk -F, '
  $1 == "0" { first[$2] = $4 }
  NR > 1 && $2 <= 60 { d = $4 - first[$2]; if (d > 1e-4 || d < -1e-4) exit 1 }' \
  "$dir/rows"

# Before and after the window fills.
for run in 0 1 2 3; do
  json "$dir/one" runs.$run.ppl_before_window >"$dir/value"
  # shellcheck disable=SC2016 # the dollars are awk's
  ok 'ppl_before_window' awk -F, -v before="$(cat "$dir/value")" -v run=$run '
    $1 "" == run "" && $2 <= 60 { sum += $4; n++ }
    END { d = exp(sum / n) / before - 1; exit !(n == 60 && d < 1e-6 && d > -1e-6) }' "$dir/rows"
  equal 'whole' "$(json "$dir/one" runs.$run.partial)" false
done
"$weir" eval "$model" --text "$dir/text" --tokens 50 --json >"$dir/short"
equal 'all is before' "$(json "$dir/short" runs.0.ppl_before_window)" \
  "$(json "$dir/short" runs.0.ppl)"
"$weir" eval "$model" --text "$dir/text" --tokens 50 --policy dense --json >"$dir/short"
equal 'dense: there is no window' "$(json "$dir/short" runs.0.ppl_before_window)" null
run --cache 60 >"$dir/table"
ok 'columns' grep -q 'nats *+- *perplexity *first 60 *beyond 60' "$dir/table"

# Several sinks and caches, with several policies.
run --sinks 0,1,2,4,8 --cache 32,64 --policy sink,window,recompute --json >"$dir/many"
equal 'runs' "$(json "$dir/many" runs.#)" 14
for run in 0 1 2 3 4 5 6 7 8 9 10 11 12 13; do
  slots=$(($(json "$dir/many" runs.$run.sinks) + $(json "$dir/many" runs.$run.window)))
  equal 'equal memory' $slots $((run % 2 == 0 ? 32 : 64))
  equal 'kv_bytes' "$(json "$dir/many" runs.$run.kv_bytes)" $((slots * 256))
  ok 'reserved' test "$(json "$dir/many" runs.$run.reserved_bytes)" -ge $((slots * 256))
  ok 'peak' test "$(json "$dir/many" runs.$run.peak_memory_bytes)" -gt 0
done

# Figures: which one, and that they are written whole.
draw() {
  file=$1
  shift
  run "$@" --plot "$dir/$file" >/dev/null
}
draw curve.svg --policy sink,window,dense --beyond --cache 60
draw curve2.svg --policy sink,window,dense --beyond --cache 60 --figure curve --chunk 5
ok 'a curve' grep -q '<svg' "$dir/curve.svg"
ok 'the same figure for every chunk' cmp "$dir/curve.svg" "$dir/curve2.svg"
draw smooth.svg --policy sink,window,dense --beyond --cache 60 --average 100
ok '--average' not cmp -s "$dir/curve.svg" "$dir/smooth.svg"
draw sinks.svg --sinks 0,1,2,4 --cache 32,64 --policy sink,window,dense --beyond
draw sinks2.svg --sinks 0,1,2,4 --cache 32,64 --policy sink,window,dense --beyond --figure sinks
ok 'bars' cmp "$dir/sinks.svg" "$dir/sinks2.svg"
draw cache.svg --cache 32,64 --policy sink,window,dense --beyond
draw cache2.svg --cache 32,64 --policy sink,window,dense --beyond --figure cache
ok 'sizes' cmp "$dir/cache.svg" "$dir/cache2.svg"
for kind in curve sinks cache; do
  draw $kind.png --policy dense --beyond --figure $kind
  equal 'a PNG' "$(head -c 4 "$dir/$kind.png" | tail -c 3)" PNG
done
"$weir" eval "$model" --text "$dir/text" --tokens 2 --plot "$dir/two.png" >/dev/null
ok 'of a single figure' test -s "$dir/two.png"
refuses '.svg' eval "$model" --text "$dir/text" --plot "$dir/figure.txt"
refuses 'without --plot' eval "$model" --text "$dir/text" --figure curve
refuses 'without --plot' eval "$model" --text "$dir/text" --average 10
refuses '--figure curve' eval "$model" --text "$dir/text" --sinks 0,1 --cache 32 --average 10 \
  --plot "$dir/no.png"
refuses '10 lines' eval "$model" --text "$dir/text" --sinks 0,1,2,3,4,5,6,7,8,9,10 --cache 32 \
  --figure curve --plot "$dir/no.png"
refuses '10 lines' eval "$model" --text "$dir/text" --sinks 0,1,2,3,4,5,6,7,8,9,10 --cache 32 \
  --figure cache --plot "$dir/no.png"
refuses '--figure cache' eval "$model" --text "$dir/text" --sinks 0,1 --figure sinks \
  --cache 30,31,32,33,34,35,36,37,38,39,40 --plot "$dir/no.png"
fails "$dir/none" eval "$model" --text "$dir/text" --plot "$dir/none/x.png"
ok 'no figure' test ! -e "$dir/no.png"

# Is it what the first tokens mean, or where they stand?
"$weir" tokenize "$model" --text "$dir/text" --json >"$dir/tokens"
run --sinks 3 --cache 60 --replace-first 300 --nll "$dir/replaced" --json >"$dir/one"
equal 'said' "$(json "$dir/one" replaced_with)" 300
equal 'copies at 0, 1, 2, then the text' \
  "$(sed -n '2,4p' "$dir/replaced" | cut -d, -f2,3 | tr '\n' ' ')" \
  "1,300 2,300 3,$(json "$dir/tokens" tokens.3) "
run --sinks 0,3 --cache 60 --replace-first 300 --nll "$dir/both" >/dev/null
run --sinks 0 --cache 60 --nll "$dir/plain" >/dev/null
grep '^0,' "$dir/both" >"$dir/none" && tail -n +2 "$dir/plain" >"$dir/wanted"
ok 'no sinks, nothing replaced; and what was replaced is put back' cmp "$dir/none" "$dir/wanted"
run --sinks 3 --cache 60 --replace-first newline --json >"$dir/word"
newline=$(json "$dir/word" replaced_with)
run --sinks 3 --cache 60 --replace-first "
" --json >"$dir/two"
equal 'newline, in two ways' "$newline" "$(json "$dir/two" replaced_with)"
printf 'a\n\n' >"$dir/lines"
"$weir" tokenize "$model" --text "$dir/lines" --no-bos --json >"$dir/tokens"
ok 'the newline of the model' grep -q "$newline" "$dir/tokens"
run --sinks 3 --cache 60 --replace-first '<s>' --json >"$dir/two"
equal 'a piece' "$(json "$dir/two" replaced_with)" 1
refuses 'is not one token' eval "$model" --text "$dir/text" --replace-first 'the river runs'
refuses 'is not one token' eval "$model" --text "$dir/text" --replace-first ''
refuses 'there is no token 512' eval "$model" --text "$dir/text" --replace-first 512
refuses 'there is no token' eval "$model" --text "$dir/text" --replace-first 99999999999999999999
refuses '--replace-first does not apply' eval "$model" --text "$dir/text" --policy window \
  --replace-first newline
refuses '--replace-first does not apply' eval "$model" --text "$dir/text" --policy sink,dense \
  --replace-first newline

# Odd texts.
: >"$dir/empty"
printf x >"$dir/x"
head -c 3000 "$model" >"$dir/binary"
printf 'caf\351 \377\376 \300\200 \355\240\200 end' >"$dir/invalid"
refuses 'at least two tokens' eval "$model" --text "$dir/empty" --nll "$dir/odd.csv"
"$weir" eval "$model" --text "$dir/x" --json >"$dir/out"
ok 'one letter' test "$(json "$dir/out" runs.0.scored)" -ge 1
equal 'no error of a single one' "$(json "$dir/short" runs.0.ppl_after_window)" null
for odd in binary invalid; do
  "$weir" eval "$model" --text "$dir/$odd" --json >"$dir/out" 2>"$dir/err"
  "$weir" tokenize "$model" --text "$dir/$odd" --json >"$dir/tokens"
  equal "$odd: byte for byte" "$(json "$dir/out" runs.0.tokens)" "$(json "$dir/tokens" tokens.#)"
done
printf 'x y' >"$dir/short"
"$weir" eval "$model" --text "$dir/short" --cache 100 --json >"$dir/out"
ok 'shorter than the window' test "$(json "$dir/out" runs.0.scored)" -ge 1
equal 'nothing is beyond' "$(json "$dir/out" runs.0.ppl_after_window)" null
"$weir" eval "$model" --text - --tokens 300 --json <"$dir/text" >"$dir/piped"
run --json >"$dir/out"
equal 'the same through a pipe' "$(json "$dir/piped" runs.0.nll)" "$(json "$dir/out" runs.0.nll)"

# A long text takes as much memory as a short one: what the process holds after 500 tokens of it.
held() {
  sh -c 'echo $$ >"$1"; shift; exec "$@"' - "$dir/pid" "$weir" eval "$model" --text "$1" \
    --sinks 4 --cache 60 --chunk 16 --nll /dev/stdout 2>/dev/null |
    awk -F, -v pid_file="$dir/pid" '
      $2 == 500 && !seen++ {
        getline pid <pid_file
        while ((getline line < ("/proc/" pid "/status")) > 0) {
          if (line ~ /^(RssAnon|VmSwap)/) { sub(/^[^0-9]*/, "", line); sum += line + 0 }
        }
        print sum
        system("kill -INT " pid)
      }' >"$dir/held"
  cat "$dir/held"
}
yes 'the river runs on and the mill hums by the weir' | head -c 300000 >"$dir/medium"
yes 'the river runs on and the mill hums by the weir' | head -c 8000000 >"$dir/long"
medium=$(held "$dir/medium")
long=$(held "$dir/long")
ok 'measured' test "$medium" -gt 0
# the long text itself has 7,500 KiB more
ok "constant memory: $long KiB after $medium" test "$long" -lt $((medium + 3000))

fails "$dir" eval "$model" --text "$dir"
fails "$dir/none" eval "$model" --text "$dir/none/text"

# Files that cannot be written: one sentence, no file, and what was measured is shown.
fails "$dir/none/x.csv" eval "$model" --text "$dir/text" --nll "$dir/none/x.csv"
for form in '' --json; do
  got=0
  # shellcheck disable=SC2086 # none or one word
  run --nll /dev/full $form >"$dir/out" 2>"$dir/err" || got=$?
  equal 'a full disk' "$got" 1
  equal 'one line' "$(grep -c /dev/full "$dir/err")" 1
  ok 'shown' grep -q sink "$dir/out"
done
equal 'beside the error' "$(json "$dir/out" error.status) $(json "$dir/out" runs.0.policy)" 'IO sink'
mkdir "$dir/small"
# shellcheck disable=SC2016 # the inner shell's
small='mount -t tmpfs -o size=16k tmpfs "$1" || exit 77
  "$2" eval "$3" --text "$4" --tokens 300 --plot "$1/figure.png" >"$1.out" 2>"$1.err"
  echo $? >"$1.status"; ls -A "$1" >"$1.files"'
if unshare -m sh -c "$small" - "$dir/small" "$weir" "$model" "$dir/text" 2>/dev/null; then
  equal 'exit' "$(cat "$dir/small.status")" 1
  ok 'names the figure' grep -q 'figure.png' "$dir/small.err"
  equal 'leaves nothing' "$(cat "$dir/small.files")" ''
  ok 'shows the runs' grep -q '^sink' "$dir/small.out"
else
  echo 'a figure on a full disk: not tested, no small file system can be mounted here'
fi

# Ctrl-C in the second run: the first is there, the second marked, and no file is written.
mkfifo "$dir/pipe"
for form in '' --json; do
  # shellcheck disable=SC2086 # none or one word
  "$weir" eval "$model" --text "$dir/text" --policy sink,recompute --cache 100 --nll "$dir/pipe" \
    --plot "$dir/cut.png" $form >"$dir/cut" 2>"$dir/err" &
  pid=$!
  while read -r row; do
    case $row in 1,*)
      kill -INT "$pid"
      cat >/dev/null
      ;;
    esac
  done <"$dir/pipe"
  got=0
  wait "$pid" || got=$?
  equal 'exit when interrupted' "$got" 130
  ok 'says where' grep -q 'interrupted in run 2 of 2' "$dir/err"
  ok 'no figure' test ! -e "$dir/cut.png"
  if [ -n "$form" ]; then
    equal 'the error' "$(json "$dir/cut" error.status)" CANCELLED
    equal 'both runs' "$(json "$dir/cut" runs.#)" 2
    equal 'the first' "$(json "$dir/cut" runs.0.partial)" false
    equal 'the second' "$(json "$dir/cut" runs.1.partial)" true
    ok 'a part of it' test "$(json "$dir/cut" runs.1.tokens)" -lt \
      "$(json "$dir/cut" runs.0.tokens)"
  else
    ok 'the table' grep -q '^sink' "$dir/cut"
    ok 'marked' grep -q '^recompute.*stopped after' "$dir/cut"
  fi
done
done_with
