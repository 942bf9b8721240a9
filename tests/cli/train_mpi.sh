# mpirun -n N weir train: the losses of one process with the same batch, within rounding.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

if ! command -v mpirun >/dev/null; then
  echo 'mpirun is not installed'
  exit 77
fi
if [ ! -e "$(dirname "$weir")/weir-mpi.so" ]; then
  echo 'built without MPI'
  exit 77
fi
# Open MPI itself keeps memory that it never gives back.
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 TMPDIR="$dir"
awk 'BEGIN { for (i = 0; i < 300; i++) print "Line " i " of a text, with " i * 7 % 31 " in it." }' \
  >"$dir/text.txt"

# train PROCESSES OUT ARGUMENT...
train() {
  processes=$1
  out=$2
  shift 2
  set -- train --layers 2 --width 32 --heads 2 --kv-heads 1 --feed-forward 48 --context 32 --batch 5 \
    --threads 1 --vocabulary 300 --data "$dir/text.txt" --validation "$dir/text.txt" --steps 20 \
    --evaluate 5 --precision float32 --out "$dir/$out.gguf" "$@"
  if [ "$processes" -eq 1 ]; then
    "$weir" "$@"
  else
    mpirun --oversubscribe -n "$processes" "$weir" "$@"
  fi
}
train 1 alone >/dev/null 2>&1 || fail 'alone'
for processes in 2 3; do
  train "$processes" "of$processes" --json >"$dir/out" 2>"$dir/err" || fail "$(cat "$dir/err")"
  equal 'one of them speaks' "$(wc -l <"$dir/out")" 1
  equal 'steps' "$(json "$dir/out" step)" 20
  ok 'says how many' grep -q "in each of $processes processes" "$dir/err"
  # loss, gradient norm and validation of each step
  cut -d, -f1,4-6 "$dir/alone.run/log.csv" >"$dir/a"
  cut -d, -f1,4-6 "$dir/of$processes.run/log.csv" >"$dir/b"
  # shellcheck disable=SC2016 # the dollars are awk's
  ok 'the same losses' awk -F, '
    function near(a, b) { return a == b || (a - b) ^ 2 < 1e-8 * (a * b) }
    NR == FNR { line[NR] = $0; next }
    { split(line[FNR], a); for (i = 1; i <= 4; i++) bad += !near(a[i], $i) }
    END { exit !(FNR == 21 && bad == 0) }' "$dir/a" "$dir/b"
done

# A failure is told once, and ends all.
if train 2 of2 --rate 1 >"$dir/out" 2>"$dir/err"; then fail 'another rate'; fi
equal 'told once' "$(grep -c 'was begun with --rate' "$dir/err")" 1
if train 6 of6 >"$dir/out" 2>"$dir/err"; then fail 'too many processes'; fi
equal 'too many' "$(grep -c '6 processes cannot share a batch of 5' "$dir/err")" 1

# What mpirun started does not run as many trainings in one place without MPI.
mkdir "$dir/bare"
cp "$weir" "$dir/bare/weir"
got=0
OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0 "$dir/bare/weir" train --data "$dir/text.txt" \
  --out "$dir/bare.gguf" >"$dir/out" 2>"$dir/err" || got=$?
equal 'exit' "$got" 1
ok 'built without MPI' grep -q 'built without MPI' "$dir/err"
done_with
