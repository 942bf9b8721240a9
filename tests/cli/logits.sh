# logits: raw rows of floats, with the same bits for every chunk and thread count.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

model=$dir/model.gguf
make_model "$model"
printf '[1' >"$dir/tokens.json"
i=0
while [ $i -lt 200 ]; do
  printf ', %d' $((260 + (i * 37) % 250))
  i=$((i + 1))
done >>"$dir/tokens.json"
printf ']\n' >>"$dir/tokens.json"

for policy in '--policy sink --sinks 4 --window 60' '--policy window --window 60' \
  '--policy recompute --window 20' '--policy dense --beyond'; do
  for cache in f16 f32 q8_0; do
    # shellcheck disable=SC2086 # separate words
    for machine in '--chunk 1' '--chunk 64' '--chunk 64 --threads 2' '--chunk 7 --threads 1'; do
      "$weir" logits "$model" --tokens-file "$dir/tokens.json" $policy --cache-type $cache $machine \
        --out "$dir/now.f32"
      [ -e "$dir/first.f32" ] || cp "$dir/now.f32" "$dir/first.f32"
      ok "$policy $cache $machine" cmp "$dir/first.f32" "$dir/now.f32"
    done
    equal "$policy $cache: size" "$(wc -c <"$dir/now.f32")" $((201 * 512 * 4))
    rm "$dir/first.f32"
  done
done

tr -d '[] ' <"$dir/tokens.json" >"$dir/tokens.txt"
"$weir" logits "$model" --tokens-file "$dir/tokens.json" --out "$dir/a.f32"
"$weir" logits "$model" --tokens-file "$dir/tokens.txt" --out "$dir/b.f32"
"$weir" logits "$model" --tokens "$(cat "$dir/tokens.txt")" --out "$dir/c.f32"
ok 'a JSON array or commas' cmp "$dir/a.f32" "$dir/b.f32"
ok 'on the command line' cmp "$dir/a.f32" "$dir/c.f32"
"$weir" logits "$model" --tokens 1,300 --out "$dir/new.f32" --json >"$dir/out"
equal 'tokens' "$(json "$dir/out" tokens)" 2
equal 'no temporary is left' "$(find "$dir" -name 'new.f32?*' | wc -l)" 0
refuses '--beyond' logits "$model" --tokens-file "$dir/tokens.json" --policy dense --out "$dir/no.f32"
ok 'nothing is written' test ! -e "$dir/no.f32"
done_with
