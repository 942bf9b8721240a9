# What the scripts of this folder share. Each is run by sh with the program's path as $1.
# shellcheck shell=sh
set -eu
weir=$1
check_json=${WEIR_BUILD:-$(dirname "$1")}/tests/json_check
# shellcheck disable=SC2034
make_chat_model=${WEIR_BUILD:-$(dirname "$1")}/tests/make_chat_model
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
checks=0

fail() {
  echo "FAIL: $*" >&2
  exit 1
}

# ok WHAT COMMAND...: the command succeeds.
ok() {
  what=$1
  shift
  checks=$((checks + 1))
  "$@" || fail "$what"
}

# equal WHAT A B
equal() {
  checks=$((checks + 1))
  [ "$2" = "$3" ] || fail "$1: \"$2\" is not \"$3\""
}

# For use behind ok.
not() { ! "$@"; }
starts() { case $1 in "$2"*) ;; *) return 1 ;; esac; }

# ends STATUS WORDS ARGUMENT...: weir exits with STATUS and says one line on stderr, with WORDS in it,
# and nothing on stdout.
ends() {
  wanted=$1
  words=$2
  shift 2
  checks=$((checks + 1))
  got=0
  "$weir" "$@" >"$dir/out" 2>"$dir/err" </dev/null || got=$?
  [ "$got" -eq "$wanted" ] || fail "weir $*: exit $got, not $wanted: $(cat "$dir/err")"
  [ "$(wc -l <"$dir/err")" -eq 1 ] || fail "weir $*: not one line: $(cat "$dir/err")"
  grep -qF -e "$words" "$dir/err" || fail "weir $*: no \"$words\" in: $(cat "$dir/err")"
  [ ! -s "$dir/out" ] || fail "weir $*: says on stdout: $(cat "$dir/out")"
}
refuses() { ends 2 "$@"; }
fails() { ends 1 "$@"; }

# json FILE PATH: what stands there in the JSON of a file.
json() {
  "$check_json" "$2" <"$1" || fail "$1: no JSON with $2: $(head -c 500 "$1")"
}

# A tiny model with room for whole words.
make_model() {
  "$weir" make-random --out "$1" --vocabulary 512 --seed 3 --context 128 || fail "make-random"
}

# wait_for WHAT COMMAND...: until the command succeeds, a minute at most.
wait_for() {
  what=$1
  shift
  tries=600
  until "$@"; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || fail "waited a minute for $what"
    sleep 0.1
  done
}

done_with() { echo "$checks checks passed"; }
