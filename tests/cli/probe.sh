# probe: maps as CSV, JSON and figures, under every policy; samples cut where it says; every refusal.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

model=$dir/model.gguf
make_model "$model"
i=0
while [ $i -lt 40 ]; do
  echo "The river runs on. Does the mill hum by the weir? It hums, on day $i!"
  i=$((i + 1))
done >"$dir/text"

# JSON: 2 layers, 4 heads
"$weir" probe "$model" --text "$dir/text" --samples 20 --json >"$dir/probe" 2>"$dir/err"
ok 'says nothing on stderr' test ! -s "$dir/err"
equal 'model' "$(json "$dir/probe" model)" "$model"
equal 'policy' "$(json "$dir/probe" policy)" sink
equal 'samples' "$(json "$dir/probe" samples)" 20
equal 'length' "$(json "$dir/probe" length)" 16
equal 'kind' "$(json "$dir/probe" kind)" probability
equal 'layers' "$(json "$dir/probe" layers.#)" 2
equal 'heads' "$(json "$dir/probe" layers.1.heads.#)" 4
equal 'head' "$(json "$dir/probe" layers.1.heads.3.head)" 3
for field in sink_rate first_tokens even layers.0.sink_rate layers.0.first_tokens \
  layers.1.heads.3.first_tokens; do
  equal "$field" "$(json "$dir/probe" $field.#)" 8
done
for field in value_norm hidden_norm hidden_largest; do
  equal "$field" "$(json "$dir/probe" layers.1.$field.#)" 16
done
# 1/16 of the first 16 harmonic numbers
ok 'even' starts "$(json "$dir/probe" even.0)" 0.21129556
"$weir" probe "$model" --text "$dir/text" --samples 20 --length 4 --json >"$dir/short"
equal 'no token 5' "$(json "$dir/short" first_tokens.5)" null
equal 'no sink rate of it' "$(json "$dir/short" sink_rate.5)" null
"$weir" probe "$model" --text "$dir/text" --samples 20 --epsilon 0 --json >"$dir/all"
equal 'all heads exceed 0' "$(json "$dir/all" sink_rate.3)" 1.0
"$weir" probe "$model" --text "$dir/text" --samples 20 --scores --json >"$dir/scores"
equal 'kind' "$(json "$dir/scores" kind)" score
json "$dir/scores" layers.0.heads.0.first_scores >/dev/null
equal 'still probabilities' "$(json "$dir/scores" first_tokens)" "$(json "$dir/probe" first_tokens)"

# CSV: 8 maps of 16 * 17 / 2 entries, each row of a map a distribution
"$weir" probe "$model" --text "$dir/text" --samples 20 --csv "$dir/all.csv" >"$dir/table"
equal 'CSV head' "$(head -n 1 "$dir/all.csv")" 'layer,head,query_index,key_index,probability'
equal 'CSV rows' "$(wc -l <"$dir/all.csv")" $((1 + 8 * 136))
# shellcheck disable=SC2016 # the dollars are awk's
distributions='NR > 1 { sum[$1, $2, $3] += $5 }
  END { for (i in sum) if (sum[i] < 1 - 1e-6 || sum[i] > 1 + 1e-6) exit 1 }'
ok 'rows sum to 1' awk -F, "$distributions" "$dir/all.csv"
json "$dir/probe" layers.1.heads.2.first_tokens.0 >"$dir/first"
# shellcheck disable=SC2016 # the dollars are awk's
ok 'the mean of a column' awk -F, -v mean="$(cat "$dir/first")" '
  $1 == 1 && $2 == 2 && $4 == 0 { sum += $5; n++ }
  END { d = sum / n - mean; exit !(n == 16 && d < 1e-7 && d > -1e-7) }' "$dir/all.csv"
ok 'table' grep -q '^  all ' "$dir/table"
"$weir" probe "$model" --text "$dir/text" --samples 20 --csv "$dir/some.csv" --layer 1 --head 0,3 \
  >/dev/null
grep '^1,[03],' "$dir/all.csv" >"$dir/wanted"
tail -n +2 "$dir/some.csv" >"$dir/got"
ok 'chosen maps' cmp "$dir/wanted" "$dir/got"
for machine in '--chunk 3' '--threads 2'; do
  # shellcheck disable=SC2086 # separate words
  "$weir" probe "$model" --text "$dir/text" --samples 20 --csv "$dir/now.csv" $machine >/dev/null
  ok "the same with $machine" cmp "$dir/all.csv" "$dir/now.csv"
done
for policy in dense window recompute; do
  "$weir" probe "$model" --text "$dir/text" --samples 20 --csv "$dir/$policy.csv" \
    --policy $policy >/dev/null
  ok "$policy sees the same within the window" cmp "$dir/dense.csv" "$dir/$policy.csv"
done

# A streaming cache: 40 tokens through 4+12. Query 39 sees keys 0 to 3 and 28 to 39.
"$weir" probe "$model" --text "$dir/text" --samples 1 --length 40 --sinks 4 --window 12 \
  --csv "$dir/stream.csv" --plot "$dir/stream.svg" --layer 0 --head 0 >/dev/null
equal 'keys of the last query' "$(grep '^0,0,39,' "$dir/stream.csv" | cut -d, -f4 | tr '\n' ' ')" \
  '0 1 2 3 28 29 30 31 32 33 34 35 36 37 38 39 '
ok 'its rows sum to 1' awk -F, "$distributions" "$dir/stream.csv"
"$weir" probe "$model" --text "$dir/text" --samples 1 --length 40 --sinks 4 --window 12 \
  --csv "$dir/place.csv" --columns position --layer 0 --head 0 >/dev/null
equal 'CSV head' "$(head -n 1 "$dir/place.csv")" \
  'layer,head,query_index,key_position,probability'
equal 'positions of the last query' "$(grep -c '^0,0,39,' "$dir/place.csv")" 16
grep '^0,0,39,' "$dir/stream.csv" | cut -d, -f5 >"$dir/a"
grep '^0,0,39,' "$dir/place.csv" | cut -d, -f5 >"$dir/b"
ok 'the same entries' cmp "$dir/a" "$dir/b"
ok 'an SVG' grep -q '<svg' "$dir/stream.svg"
"$weir" probe "$model" --text "$dir/text" --samples 2 --plot "$dir/maps.png" --scores >/dev/null
equal 'a PNG' "$(head -c 4 "$dir/maps.png" | tail -c 3)" PNG

# A sink inside the softmax: key -1, and a row sums to 1 with it.
equal 'no sink term' "$(json "$dir/probe" layers.1.heads.3.sink_term)" null
equal 'no rate of it' "$(json "$dir/probe" sink_term_rate)" null
"$weir" make-random --out "$dir/logit.gguf" --sink logit --positions alibi
"$weir" probe "$dir/logit.gguf" --text "$dir/text" --samples 1 --length 40 --sinks 4 --window 12 \
  --csv "$dir/logit.csv" --plot "$dir/logit.svg" >"$dir/table"
ok 'rows with the sink term sum to 1' awk -F, "$distributions" "$dir/logit.csv"
equal 'keys of the last query' "$(grep '^0,0,39,' "$dir/logit.csv" | cut -d, -f4 | tr '\n' ' ')" \
  '-1 0 1 2 3 28 29 30 31 32 33 34 35 36 37 38 39 '
ok 'a column of the table' grep -q ' term ' "$dir/table"
"$weir" probe "$dir/logit.gguf" --text "$dir/text" --samples 1 --length 40 --sinks 4 --window 12 \
  --json >"$dir/out"
json "$dir/out" layers.1.heads.2.sink_term >"$dir/term"
# shellcheck disable=SC2016 # the dollars are awk's
ok 'the mean of the term' awk -F, -v mean="$(cat "$dir/term")" '
  $1 == 1 && $2 == 2 && $4 == -1 { sum += $5; n++ }
  END { d = sum / n - mean; exit !(n == 40 && d < 1e-7 && d > -1e-7) }' "$dir/logit.csv"
ok 'its rate' awk "BEGIN { exit !($(json "$dir/out" layers.0.sink_term_rate) <= 1) }"

# Samples. At sentences, the second of three tokens begins with the second sentence.
printf 'aa bb. cc dd? "ee ff!" gg hh' >"$dir/four"
"$weir" probe "$model" --text "$dir/four" --length 3 --json >"$dir/out" 2>"$dir/err"
equal 'four sentences' "$(json "$dir/out" samples)" 4
ok 'says so' grep -q 'only 4 of the 256 samples asked for' "$dir/err"
equal 'one line' "$(wc -l <"$dir/err")" 1
printf 'a line\nand more of it\n\nanother' >"$dir/lines"
"$weir" probe "$model" --text "$dir/lines" --length 3 --json >"$dir/out" 2>"$dir/err"
equal 'an empty line ends a sentence' "$(json "$dir/out" samples)" 2
tokens=$("$weir" tokenize "$model" --text "$dir/text" --no-bos --json | "$check_json" tokens.#)
"$weir" probe "$model" --text "$dir/text" --cut token --samples 9999 --json >"$dir/out" 2>"$dir/err"
equal 'all tokens' "$(json "$dir/out" samples)" $((tokens / 15))
"$weir" probe "$model" --text - --samples 2 --json <"$dir/text" >"$dir/out"
equal 'standard input' "$(json "$dir/out" text)" -
head -c 20000 "$weir" >"$dir/binary"
"$weir" probe "$model" --text "$dir/binary" --cut token --samples 3 --json >"$dir/out"
equal 'a binary file' "$(json "$dir/out" samples)" 3

# Refusals: nothing is written.
: >"$dir/empty"
refuses 'which text?' probe "$model"
refuses 'too short for one sample of 16 tokens, BOS included' probe "$model" --text "$dir/empty"
refuses 'smaller --length' probe "$model" --text "$dir/text" --length 100k
refuses 'smaller --length' probe "$model" --text "$dir/text" --length 100k --cut token
refuses '--layer 2: the model has 2 of them, 0 to 1' probe "$model" --text "$dir/text" \
  --csv "$dir/no.csv" --layer 0,2
refuses '--head 99999999999' probe "$model" --text "$dir/text" --csv "$dir/no.csv" \
  --head 99999999999
refuses '--layer says which maps are written' probe "$model" --text "$dir/text" --layer 0
refuses '--columns says which maps are written' probe "$model" --text "$dir/text" --columns index
refuses 'a .png or an .svg' probe "$model" --text "$dir/text" --plot "$dir/no.gif"
refuses '--colour is for' probe "$model" --text "$dir/text" --colour log
refuses '--colour is for' probe "$model" --text "$dir/text" --plot "$dir/no.png" --scores \
  --colour log
refuses 'fewer layers and heads' probe "$model" --text "$dir/text" --length 10k --csv "$dir/no.csv"
refuses 'choose the window policy' probe "$model" --text "$dir/text" --policy recompute --window 8
refuses '--beyond' probe "$model" --text "$dir/text" --policy dense --length 200
refuses '--sinks does not apply' probe "$model" --text "$dir/text" --policy window --sinks 4
refuses '--samples wants' probe "$model" --text "$dir/text" --samples 0
refuses '--length wants' probe "$model" --text "$dir/text" --length 1
refuses '--epsilon wants' probe "$model" --text "$dir/text" --epsilon 1.5
fails 'cannot be read' probe "$model" --text "$dir/none"
fails 'cannot be written' probe "$model" --text "$dir/text" --csv "$dir/none/no.csv"
ok 'nothing is written' test ! -e "$dir/no.csv"
ok 'nor drawn' test ! -e "$dir/no.gif"
equal 'no temporary is left' "$(find "$dir" -name '*.csv.*' -o -name '*.svg.*' | wc -l)" 0
fails 'cannot be written' probe "$model" --text "$dir/text" --samples 9 --csv /dev/full
got=0
"$weir" probe "$model" --text "$dir/empty" --json >"$dir/out" 2>"$dir/err" || got=$?
equal 'exit' "$got" 2
equal 'error as JSON' "$(json "$dir/out" error.status)" USAGE

# The model that ships was trained with a sink token: all layers look at it, and some heads rest there.
root=${WEIR_ROOT:-.}
if [ -e "$root/models/weir-small.gguf" ]; then
  "$weir" probe "$root/models/weir-small.gguf" --text "$root/models/prose.txt" --samples 64 \
    --length 64 --from 32 --json >"$dir/small"
  ok 'the sink' awk "BEGIN { exit !($(json "$dir/small" first_tokens.0) > 0.1) }"
  ok 'sink rate' awk "BEGIN { exit !($(json "$dir/small" sink_rate.0) > 0.05) }"
  ok 'of no other token' awk "BEGIN { exit !($(json "$dir/small" first_tokens.1) < 0.03) }"
  ok 'its activations are massive' awk "BEGIN { exit !($(json "$dir/small" \
    layers.3.hidden_norm.0) > 5 * $(json "$dir/small" layers.3.hidden_norm.40)) }"
  ok 'and its values small' awk "BEGIN { exit !($(json "$dir/small" \
    layers.3.value_norm.0) < $(json "$dir/small" layers.3.value_norm.40) / 2) }"
fi
# An encoder reads samples whole, between what stands around its texts.
"$weir" make-random --out "$dir/bert.gguf" --family bert --vocabulary 512 --seed 3 --context 64
"$weir" probe "$dir/bert.gguf" --text "$dir/text" --length 12 --samples 3 --json >"$dir/out"
equal 'no policy' "$(json "$dir/out" policy)" encoder
ok 'the last token' test "$(json "$dir/out" last_token)" != null
ok 'by layer' test "$(json "$dir/out" layers.1.last_token)" != null
"$weir" probe "$dir/bert.gguf" --text "$dir/text" --length 12 --cut token --csv "$dir/maps.csv" \
  --plot "$dir/maps.svg" >"$dir/out"
ok 'a column for it' grep -q '  7   last ' "$dir/out"
ok 'a query sees what follows it' grep -q '^0,0,0,11,' "$dir/maps.csv"
ok 'drawn' grep -q 'key (token)' "$dir/maps.svg"
refuses '--window does not apply to an encoder' probe "$dir/bert.gguf" --text "$dir/text" --window 8
refuses '--columns position does not apply' probe "$dir/bert.gguf" --text "$dir/text" \
  --columns position --csv "$dir/maps.csv"
done_with
