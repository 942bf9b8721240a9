# run --file -: text as it arrives, questions meanwhile, and Ctrl-C.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

model=$dir/model.gguf
make_model "$model"
i=0
while [ $i -lt 30 ]; do
  echo "line $i: the river runs on"
  i=$((i + 1))
done >"$dir/text"

# However it arrives.
"$weir" run "$model" --file "$dir/text" -n 20 --cache 64 >"$dir/whole" 2>/dev/null
{
  i=1
  while [ $i -le 30 ]; do
    sed -n "${i}p" "$dir/text" | while IFS= read -r line; do
      printf '%.5s' "$line"
      sleep 0.01
      printf '%s\n' "${line#?????}"
    done
    i=$((i + 1))
  done
} | "$weir" run "$model" --file - -n 20 --cache 64 >"$dir/pieces" 2>"$dir/err"
ok 'in pieces' cmp "$dir/whole" "$dir/pieces"
ok 'state' grep -q 'weir: reading standard input' "$dir/err"
equal 'forgetting is said once' "$(grep -c 'forgotten' "$dir/err")" 1

# Text is fed while the other end stays open; Ctrl-C ends in order, and saves.
mkfifo "$dir/pipe"
"$weir" run "$model" --file - --cache 64 --save "$dir/saved" --ask 'what now' --every 10lines \
  --answer 5 <"$dir/pipe" >"$dir/out" 2>"$dir/err" &
pid=$!
exec 3>"$dir/pipe"
cat "$dir/text" >&3
answered() { [ "$(grep -c '^--- after .*: what now' "$dir/out")" -eq 3 ]; }
wait_for 'three answers, the last after all of it' answered
kill -INT $pid
got=0
wait $pid || got=$?
exec 3>&-
equal 'interrupted' "$got" 130
ok 'saved' test -s "$dir/saved"

# The questions leave the stream undisturbed.
"$weir" run "$model" --file "$dir/text" -n 0 --cache 64 --save "$dir/unasked" 2>/dev/null
"$weir" run "$model" --load "$dir/saved" -n 20 >"$dir/a"
"$weir" run "$model" --load "$dir/unasked" -n 20 >"$dir/b"
ok 'asked or not' cmp "$dir/a" "$dir/b"

# As JSON: a line for each answer, and one at the end.
"$weir" run "$model" --file - --ask why --every 10 --answer 4 -n 3 --json <"$dir/text" >"$dir/out" \
  2>/dev/null
equal 'three answers and the end' "$(wc -l <"$dir/out")" 4
head -n 1 "$dir/out" >"$dir/first"
tail -n 1 "$dir/out" >"$dir/last"
equal 'the question' "$(json "$dir/first" ask)" why
json "$dir/first" answer >/dev/null
equal 'the end' "$(json "$dir/last" tokens.#)" 3

# By time.
mkfifo "$dir/silent"
"$weir" run "$model" --file - --ask why --every 1s --answer 4 -n 0 <"$dir/silent" >"$dir/asked" 2>/dev/null &
pid=$!
exec 3>"$dir/silent"
head -n 3 "$dir/text" >&3
wait_for 'the answer' grep -qs '^--- after' "$dir/asked"
sleep 1.5 # the next second
exec 3>&-
wait $pid
equal 'asked once: there was nothing new to ask about' "$(grep -c '^--- after' "$dir/asked")" 1

# By message: whole lines leave.
"$weir" run "$model" --file "$dir/text" --evict message --cache 64 -n 5 --json >"$dir/out" 2>/dev/null
ok 'forgotten' test "$(json "$dir/out" evicted)" -gt 0

# Ctrl-C while text is made: what there is stands there, in order.
rm "$dir/out"
"$weir" run "$model" --prompt x -n -1 --save "$dir/made" >"$dir/out" 2>/dev/null &
pid=$!
wait_for 'some text' test -s "$dir/out"
kill -INT $pid
got=0
wait $pid || got=$?
equal 'interrupted' "$got" 130
ok 'saved' test -s "$dir/made"
rm -f "$dir/err"
"$weir" run "$model" --prompt x -n 1000k --stats 10 --logit-bias 2=-inf --json >"$dir/out" \
  2>"$dir/err" &
pid=$!
wait_for 'some tokens' test -s "$dir/err"
kill -TERM $pid
got=0
wait $pid || got=$?
equal 'terminated' "$got" 130
equal 'the JSON is whole' "$(json "$dir/out" reason)" interrupted
done_with
