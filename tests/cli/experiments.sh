# The pages of docs/experiments: linked, with figures that are there, and with commands that are those
# of scripts/experiments and run. A few tokens of each: what it finds is not looked at here.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
weir=$(realpath "$weir")
cd "$(dirname "$0")/../.."
pages=docs/experiments

# The commands of a page, each on one line, numbers as N: sizes are smaller here.
commands() {
  # shellcheck disable=SC2016 # a dollar of the page
  sed -e ':a' -e '/\\$/{N;s/ \\\n */ /;ba' -e '}' "$1" | grep '^\$ weir' |
    sed -E 's/[0-9][0-9.,]*[kM]?/N/g'
}

figures() { sed -n 's/.*!\[.*\](\(.*\))$/\1/p' "$pages/$1.md"; }

equal 'a page for each experiment' "$(scripts/experiments --list | sort)" \
  "$(find $pages -name '*.md' ! -name README.md -exec basename {} .md \; | sort)"
ok 'linked from README.md' grep -qF "($pages/README.md)" README.md
for page in $(scripts/experiments --list); do
  ok "$page is linked" grep -qF "($page.md)" $pages/README.md
  for figure in $(figures "$page"); do
    ok "$page: $figure is there" test -s "$pages/$figure"
  done
  ok "$page has results" grep -q '^<!-- results: ' "$pages/$page.md"
  # shellcheck disable=SC2016 # a dollar of the page
  equal "$page: every place has them" "$(grep -c '^<!-- results: ' "$pages/$page.md")" \
    "$(grep -A 2 '^<!-- results: ' "$pages/$page.md" | grep -c '^\$ weir')"
done
for figure in "$pages"/*.svg "$pages"/*.png; do
  [ ! -e "$figure" ] || ok "$figure is shown" grep -qF "($(basename "$figure"))" $pages/*.md
done

# All of them, with a random model in the place of the one that does not ship.
mkdir -p "$dir/data/models" "$dir/data/text/test"
"$weir" make-random --out "$dir/data/models/stories260K.gguf" --vocabulary 512 --context 512
"$weir" make-random --out "$dir/data/models/all-minilm-l6-v2.gguf" --family bert --layers 6 \
  --width 96 --heads 12 --kv-heads 12 --vocabulary 512 --context 128
cp models/prose.txt "$dir/data/text/test/novels.txt"
cp models/prose.txt "$dir/data/text/test/children.txt"
WEIR=$weir WEIR_DATA=$dir/data scripts/experiments --quick --out "$dir/pages" >"$dir/out"
ok 'all of it' grep -q '^experiments: done' "$dir/out"
ok 'nothing left out' not grep -q '^skipped' "$dir/out"
for page in $(scripts/experiments --list); do
  equal "$page: the commands of scripts/experiments" "$(commands "$dir/pages/$page.md")" \
    "$(commands "$pages/$page.md")"
  equal "$page: its words stay" "$(sed '/^<!-- results/,/^<!-- end/d' "$dir/pages/$page.md")" \
    "$(sed '/^<!-- results/,/^<!-- end/d' "$pages/$page.md")"
  for figure in $(figures "$page"); do
    ok "$page: $figure is made" test -s "$dir/pages/$figure"
  done
done
ok 'no path of this machine' not grep -qF "$dir" "$dir"/pages/*.md

# Without that model: one sentence says what is left out, and why.
WEIR=$weir WEIR_DATA=$dir/none scripts/experiments --quick --out "$dir/few" endless >"$dir/out"
ok 'says so' grep -q '^skipped: endless: there is no .*stories260K.gguf\. WEIR_DATA is' "$dir/out"
equal 'and leaves the page' "$(cat "$dir/few/endless.md")" "$(cat $pages/endless.md)"
for wrong in --fast tables '--out' '--quick surge'; do
  got=0
  # shellcheck disable=SC2086 # separate words
  scripts/experiments $wrong >/dev/null 2>"$dir/err" || got=$?
  equal "$wrong is refused" "$got $(wc -l <"$dir/err")" '2 1'
done
done_with
