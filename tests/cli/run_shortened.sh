# A model file that is shortened under a program that has it mapped: a sentence, and no crash.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

"$weir" make-random --out "$dir/whole.gguf" --vocabulary 8192 --seed 3 --context 256 || fail 'make-random'

# shorten ARGUMENT...: weir run for ever, until its model is cut to a tenth.
shorten() {
  cp "$dir/whole.gguf" "$dir/model.gguf"
  rm -f "$dir/out"
  "$weir" run "$dir/model.gguf" -n -1 --threads 1 "$@" >"$dir/out" 2>"$dir/err" &
  pid=$!
  wait_for 'some text' test -s "$dir/out"
  truncate -s $(($(wc -c <"$dir/whole.gguf") / 10)) "$dir/model.gguf"
  got=0
  wait "$pid" || got=$?
  equal "$* ends" "$got" 1
  equal "$*: one sentence" "$(grep -c 'became shorter' "$dir/err")" 1
}
shorten --no-repack --cache 128
shorten --cache 64

# Renaming another file over it disturbs nobody.
cp "$dir/whole.gguf" "$dir/model.gguf"
rm -f "$dir/out"
"$weir" run "$dir/model.gguf" -n 10000 --seed 1 --no-repack >"$dir/out" 2>/dev/null &
pid=$!
wait_for 'some text' test -s "$dir/out"
cp "$dir/whole.gguf" "$dir/other.gguf"
mv "$dir/other.gguf" "$dir/model.gguf"
ok 'goes on' wait "$pid"
done_with
