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

# wait_for WHAT COMMAND...: until the command succeeds, for minutes: the machine may be slow, or pause.
wait_for() {
  what=$1
  shift
  tries=2400
  until "$@"; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || fail "waited in vain for $what"
    sleep 0.1
  done
}

# cut_short BEGUN ARGUMENT...: weir with Ctrl-C in the middle: later and later, until the command BEGUN finds a
# beginning in $dir/cut and $dir/err, what it said. $got is its exit status.
cut_short() {
  begun=$1
  shift
  for pause in 0.5 2 8 32 128; do
    "$weir" "$@" >"$dir/cut" 2>"$dir/err" &
    pid=$!
    wait_for 'it to listen to Ctrl-C' catches_interrupts "$pid"
    sleep "$pause"
    kill -INT "$pid"
    got=0
    wait "$pid" || got=$?
    if "$begun"; then return; fi
  done
}
# The second bit of the signals that a process handles; before, a Ctrl-C would be lost or end it.
catches_interrupts() { grep -q '^SigCgt:.*[2367abef]$' "/proc/$1/status"; }

done_with() { echo "$checks checks passed"; }
