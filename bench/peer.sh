# What the scripts beside a peer share: arguments, speeds, medians, and one way to show them. A script
# sets `usage` and the defaults of its numbers, then reads this file.
# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # the script above has names in hand that are not seen here
set -eu

rounds=5
threads=$(getconf _NPROCESSORS_ONLN)
form=text
peer_args=''
weir_args=''
weir=${WEIR:-$(dirname "$0")/../build/weir}

stop() {
  echo "$0: $*" >&2
  exit 1
}

refuse() {
  echo "$0: $1" >&2
  echo "usage: $usage" >&2
  exit 2
}

# take NAME VALUE: a whole number of at least 1, or of 0 for --sinks.
take() {
  case $2 in
  0) [ "$1" = sinks ] || refuse "--$1 wants at least 1" ;;
  '' | 0* | *[!0-9]* | ??????????*) refuse "--$1 wants a whole number, not \"$2\"" ;;
  esac
  eval "$1=\$2"
}

# arguments NAMES ARGUMENT...: --NAME N sets $NAME, for rounds, threads and each of NAMES; then the
# peer's program and the model's file.
arguments() {
  names=" rounds threads $1 "
  shift
  peer='' model=''
  while [ $# -gt 0 ]; do
    case $1 in
    --json) form=json ;;
    --help)
      echo "usage: $usage"
      exit 0
      ;;
    --?*)
      [ $# -ge 2 ] || refuse "$1 wants a value"
      case "$1" in
      --peer-args) peer_args=$2 ;;
      --weir-args) weir_args=$2 ;;
      *)
        case $names in
        *" ${1#--} "*) take "${1#--}" "$2" ;;
        *) refuse "there is no option $1" ;;
        esac
        ;;
      esac
      shift
      ;;
    *)
      [ -z "$model" ] || refuse "\"$1\" is one too many"
      if [ -z "$peer" ]; then peer=$1; else model=$1; fi
      ;;
    esac
    shift
  done
  [ -n "$model" ] || refuse 'a program of the peer and a model are needed'
  for program in "$peer" "$weir"; do
    if [ ! -f "$program" ] || [ ! -x "$program" ]; then stop "$program is no program"; fi
  done
  [ -r "$model" ] || stop "$model cannot be read"
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  trap 'exit 130' INT TERM HUP
  clock start
}

# clock FILE: seconds on the wall, and of processors at work for others than this script's children.
# Not in a subshell, which has no times of its own children yet. Nothing where there is no /proc.
clock() {
  times >"$dir/times"
  cat "$dir/times" /proc/uptime /proc/stat 2>/dev/null | awk -v hz="$(getconf CLK_TCK)" '
    NR == 2 { gsub(/[ms]/, " "); own = 60 * $1 + $2 + 60 * $3 + $4 }
    NR == 3 { wall = $1 }
    $1 == "cpu" { print wall, ($2 + $3 + $4 + $7 + $8 + $9) / hz - own }' >"$dir/$1"
}

# Processors that other programs kept busy since the arguments were read, in the mean; or null.
others() {
  cat "$dir/start" "$dir/end" | awk '{ wall[NR] = $1; work[NR] = $2 }
    END {
      if (wall[2] > wall[1]) printf "%.2f", (work[2] - work[1]) / (wall[2] - wall[1])
      else print "null"
    }'
}

# call PROGRAM ARGUMENT...: what it says goes to $dir/out; a failure shows as a missing figure.
call() {
  exited=0
  "$@" >"$dir/out" 2>"$dir/err" </dev/null || exited=$?
}

# note FILE WHAT VALUE: one more line in a file of figures of the program last called, or the end.
note() {
  case $3 in
  [0-9]*) echo "$3" >>"$dir/$1" ;;
  *)
    reason=$(grep -i -m 1 'error\|fail\|cannot\|fault\|invalid' "$dir/err" || head -n 1 "$dir/err")
    stop "no figure for $2, which exited with $exited: $reason"
    ;;
  esac
}

# field [OBJECT] NAME: a number of the one line of JSON in $dir/out, of an array's first object; null is
# nothing.
field() {
  if [ $# -eq 2 ]; then inside='"'"$1"'": *\[*{[^}]*'; else inside=''; fi
  eval "name=\${$#}"
  sed -n 's/.*'"$inside"'"'"$name"'": *\([0-9][0-9.eE+-]*\).*/\1/p' "$dir/out"
}

# weir_bench ARGUMENT...: the peer's type of cache, and its freedom to go past the trained context.
weir_bench() {
  # shellcheck disable=SC2086 # separate words
  call "$weir" bench "$model" --threads "$threads" --json "$@" $weir_args
}

# note_machine: the limits that weir measured beside its own speed, those that there are.
note_machine() {
  for limit in read_gb_per_second float_gflop_per_second int8_gop_per_second; do
    field machine "$limit" >>"$dir/$limit"
  done
}

# median FILE, fastest FILE, list FILE: nothing where there is no figure.
median() {
  sort -g "$dir/$1" | awk '{ v[NR] = $1 }
    END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
fastest() { sort -g "$dir/$1" | tail -n 1; }
list() { paste -s -d , "$dir/$1"; }

quoted() { printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"; }

# share SPEED COST FILE: SPEED tokens a second of COST 1e9ths each, of the median limit in FILE; null when
# the limit is unknown.
share() {
  awk -v speed="$1" -v cost="${2:-0}" -v limit="$(median "$3")" \
    'BEGIN { if (limit > 0 && cost > 0) printf "%.4f", speed * cost / limit; else print "null" }'
}

# row NAME COST LIMIT: the figures weir.NAME and peer.NAME side by side. LIMIT names what a token costs
# COST of: read_gb_per_second, float_gflop_per_second, int8_gop_per_second.
row() {
  ours=$(median "weir.$1") theirs=$(median "peer.$1")
  row_form "$1" "$ours" "$theirs" "$(share "$ours" "$2" "$3")" "$(share "$theirs" "$2" "$3")" "$3"
}

row_form() {
  best=$(fastest "weir.$1") best_peer=$(fastest "peer.$1")
  if [ "$form" = json ]; then
    ratio=$(awk -v a="$2" -v b="$3" 'BEGIN { printf "%.4f", a / b }')
    printf '%s{"name": "%s", "weir": {"median": %s, "best": %s, "share": %s, "runs": [%s]}, ' \
      "$between" "$1" "$2" "$best" "$4" "$(list "weir.$1")"
    printf '"peer": {"median": %s, "best": %s, "share": %s, "runs": [%s]}, ' \
      "$3" "$best_peer" "$5" "$(list "peer.$1")"
    printf '"ratio": %s, "limit": "%s"}' "$ratio" "$6"
    between=', '
  else
    awk -v name="$1" -v a="$2" -v b="$3" -v best="$best" -v best_peer="$best_peer" -v share="$4" \
      -v share_peer="$5" -v limit="${6%%_*}" '
      function percent(s) { return s == "null" ? "-" : sprintf("%.1f%%", 100 * s) }
      BEGIN {
        printf "%-10s %10.2f %10.2f %7.2f %10.2f %10.2f %7.2f %8s %8s  %s\n", name, a, b, a / b,
          best, best_peer, best / best_peer, percent(share), percent(share_peer), limit
      }'
  fi
}

# begin: what was compared, and the limits. Rows follow, then end_with.
begin() {
  clock end
  between='' others=$(others)
  if [ "$form" = json ]; then
    printf '{"model": %s, "peer": %s, "peer_args": %s, "weir_args": %s, "threads": %s, ' \
      "$(quoted "$model")" "$(quoted "$peer")" "$(quoted "$peer_args")" "$(quoted "$weir_args")" "$threads"
    printf '"rounds": %s, "others": %s, "machine": {' "$rounds" "$others"
    for limit in read_gb_per_second float_gflop_per_second int8_gop_per_second; do
      value=$(median "$limit")
      printf '%s"%s": %s' "$between" "$limit" "${value:-null}"
      between=', '
    done
    printf '}, "rows": ['
    between=''
  else
    echo "$model beside $peer $peer_args"
    echo "$threads threads, $rounds alternating runs; other programs kept $others processors busy"
    awk -v read="$(median read_gb_per_second)" -v float="$(median float_gflop_per_second)" \
      -v int8="$(median int8_gop_per_second)" 'BEGIN {
        printf "the machine reads %.1f GB/s, %.0f GFLOP/s of float32, %s of int8\n", read, float,
          (int8 > 0 ? sprintf("%.0f GOP/s", int8) : "nothing")
      }'
    echo
    printf '%-10s %10s %10s %7s %10s %10s %7s %8s %8s  %s\n' tokens/s weir peer ratio best 'peer best' \
      ratio share peer of
  fi
}

end_with() { if [ "$form" = json ]; then echo "]}"; fi; }
