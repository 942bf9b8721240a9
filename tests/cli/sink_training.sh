# scripts/sink-training: a few steps of each model, twice, and what it refuses.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
weir=$(realpath "$weir")
cd "$(dirname "$0")/../.."

mkdir -p "$dir/data/text/train" "$dir/data/text/test"
for text in train/novels train/children test/children; do
  cp models/prose.txt "$dir/data/text/$text.txt"
done
train() { WEIR=$weir WEIR_DATA=$dir/data scripts/sink-training --quick --folder "$dir/trained" "$@"; }
train none token >"$dir/said" 2>&1 || fail "$(cat "$dir/said")"
equal 'a sink token' "$("$weir" info "$dir/trained/token.gguf" --json | "$check_json" sink_token)" true
equal 'none' "$("$weir" info "$dir/trained/none.gguf" --json | "$check_json" sink_token)" false
cp "$dir/trained/token.gguf" "$dir/before.gguf"
train token >"$dir/said" 2>&1 || fail "$(cat "$dir/said")"
ok 'what is trained stays' cmp "$dir/before.gguf" "$dir/trained/token.gguf"
train --steps 5 >"$dir/said" 2>&1 || fail "$(cat "$dir/said")"
scripts/sink-training --list >"$dir/list"
while read -r name _; do
  ok "$name" test -s "$dir/trained/$name.gguf"
done <"$dir/list"

for wrong in '--fast' '--folder' 'nameless'; do
  got=0
  # shellcheck disable=SC2086 # separate words
  WEIR=$weir scripts/sink-training $wrong >/dev/null 2>"$dir/err" || got=$?
  equal "$wrong is refused" "$got $(wc -l <"$dir/err")" '2 1'
done
got=0
WEIR=$weir WEIR_DATA=$dir/none scripts/sink-training --folder "$dir/x" 2>"$dir/err" || got=$?
equal 'without texts' "$got $(grep -c WEIR_DATA "$dir/err")" '1 1'
done_with
