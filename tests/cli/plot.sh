# weir plot: lines from columns of CSV files, and what it refuses.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

printf 'step,loss,extra\n1,5.5,\n2,4.5,7\n3,nan,\n4,3.5,9\n' >"$dir/a.csv"
printf 'loss,step\r\n6,1\r\n5,2\r\n' >"$dir/b.csv"

"$weir" plot --csv "$dir/a.csv" --label one --csv "$dir/b.csv" --label two --x step --y loss \
  --title 'A title' --y-label 'nats per token' --out "$dir/a.svg"
for words in '<svg' '>one<' '>two<' '>A title<' '>nats per token<' '>step<'; do
  ok "$words" grep -q "$words" "$dir/a.svg"
done
"$weir" plot --csv "$dir/a.csv" --x step --y extra --out "$dir/b.svg"
ok 'the file names the line' grep -q 'a\.csv' "$dir/b.svg"
"$weir" plot --csv "$dir/a.csv" --x step --y loss --average 2 --log-y --out "$dir/c.png"
ok 'PNG' test -s "$dir/c.png"

# What a column holds decides the figure: a mean over two rows, and another column, differ.
"$weir" plot --csv "$dir/a.csv" --label l --x step --y loss --out "$dir/d.svg"
"$weir" plot --csv "$dir/a.csv" --label l --x step --y loss --average 2 --out "$dir/e.svg"
ok 'the mean' not cmp -s "$dir/d.svg" "$dir/e.svg"

"$weir" plot --csv "$dir/a.csv" --label l --x step --y loss --log-x --x-label 'steps so far' --out "$dir/f.svg"
ok 'the label' grep -q '>steps so far<' "$dir/f.svg"
"$weir" plot --csv "$dir/a.csv" --label l --x step --y loss --x-label 'steps so far' --out "$dir/g.svg"
ok 'another axis' not cmp -s "$dir/f.svg" "$dir/g.svg"

refuses '--csv FILE.csv is missing' plot --x a --y b --out "$dir/x.svg"
refuses '--out FILE.svg is missing' plot --csv "$dir/a.csv" --x a --y b
refuses 'names no column "none"' plot --csv "$dir/a.csv" --x none --y loss --out "$dir/x.svg"
refuses 'names no column "los"' plot --csv "$dir/a.csv" --x step --y los --out "$dir/x.svg"
refuses 'one for each' plot --csv "$dir/a.csv" --label a --label b --x step --y loss --out "$dir/x.svg"
refuses 'svg' plot --csv "$dir/a.csv" --x step --y loss --out "$dir/x.gif"
fails 'cannot be read' plot --csv "$dir/none.csv" --x step --y loss --out "$dir/x.svg"
set --
for file in a a a a a a a a a a a; do set -- "$@" --csv "$dir/$file.csv"; done
refuses 'at most 10 lines' plot "$@" --x step --y loss --out "$dir/x.svg"
ok 'nothing was left' test ! -e "$dir/x.svg"

done_with
