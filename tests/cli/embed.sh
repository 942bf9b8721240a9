# embed: vectors of texts, from encoders and from decoders.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

encoder=$dir/encoder.gguf
decoder=$dir/decoder.gguf
"$weir" make-random --out "$encoder" --family bert --vocabulary 512 --seed 3 --context 64
make_model "$decoder"

for model in "$encoder" "$decoder"; do
  "$weir" embed "$model" --text 'the river' --text 'and the mill' >"$dir/two"
  equal 'a line for each text' "$(wc -l <"$dir/two")" 2
  equal 'as wide as the model' "$(head -1 "$dir/two" | wc -w)" 64
  printf 'the river\nand the mill' | "$weir" embed "$model" >"$dir/lines"
  ok 'lines of standard input' cmp "$dir/two" "$dir/lines"
  printf 'the river\nand the mill\n' >"$dir/text"
  "$weir" embed "$model" --file "$dir/text" --threads 1 >"$dir/lines"
  ok 'lines of a file, one thread' cmp "$dir/two" "$dir/lines"
  "$weir" embed "$model" --file "$dir/text" --no-repack --threads 3 >"$dir/lines"
  ok 'not rearranged, three threads' cmp "$dir/two" "$dir/lines"
  "$weir" embed "$model" --text 'and the mill' >"$dir/one"
  equal 'alone' "$(cat "$dir/one")" "$(tail -1 "$dir/two")"
  "$weir" embed "$model" --text 'the river' --json >"$dir/out"
  equal 'the width' "$(json "$dir/out" width)" 64
  equal 'one vector' "$(json "$dir/out" vectors.#)" 1
  equal 'its numbers' "$(json "$dir/out" vectors.0.#)" 64
  equal 'the mean' "$(json "$dir/out" pooling)" mean
  ok 'length 1' sh -c "head -1 '$dir/two' | tr ' ' '\n' |
    awk '{ s += \$1 * \$1 } END { exit !(s > 0.9999 && s < 1.0001) }'"
  for how in cls last; do
    "$weir" embed "$model" --text 'the river' --pooling $how --normalise none >"$dir/$how"
    ok "$how is another" not cmp -s "$dir/$how" "$dir/one"
  done
  ok 'first and last differ' not cmp -s "$dir/cls" "$dir/last"
  refuses '--text and --file both give texts' embed "$model" --text a --file "$dir/text"
  refuses '--pooling' embed "$model" --text a --pooling most
  fails "$dir/none" embed "$model" --file "$dir/none"
  ends 2 'longer than the' embed "$model" --text a --tokens 1k
  ends 2 'text 1 has ' embed "$model" --text a --text 'the river runs on and on' --tokens 4
  "$weir" embed "$model" --text 'the river runs on and on' --tokens 4 --truncate >"$dir/cut"
  equal 'cut' "$(wc -w <"$dir/cut")" 64
done

"$weir" embed "$encoder" </dev/null >"$dir/out"
ok 'no text, no vector' test ! -s "$dir/out"
fails 'weir embed makes vectors' run "$encoder" --prompt 'the river'
fails 'weir embed makes vectors' eval "$encoder" --text "$dir/text"
fails 'weir embed makes vectors' chat "$encoder"
"$weir" info "$encoder" >"$dir/out"
ok 'info says what it is' grep -q '^  encoder ' "$dir/out"
"$weir" info "$encoder" --json >"$dir/out"
equal 'in JSON' "$(json "$dir/out" encoder)" true
done_with
