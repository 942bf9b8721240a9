# What the tests of the server share: a server, and requests to it. Each sources this instead of lib.sh.
# shellcheck shell=sh
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# needs TOOL...: they are installed, or the test is skipped by their name.
needs() {
  for tool in "$@"; do
    command -v "$tool" >/dev/null || {
      echo "$tool is not installed"
      exit 77
    }
  done
}
needs curl

server='' # its process
others='' # processes that end with the test
clean_up() {
  for process in $server $others; do kill -9 "$process" 2>/dev/null || :; done
  rm -rf "$dir"
}
trap clean_up EXIT

# start OPTION...: a server of $model; $base is where it listens. $always: options of every start.
# $under: what goes before the program; a limit on files, for a disk that is soon full.
always=
under=
start() {
  : >"$dir/address"
  (
    trap '' XFSZ
    # shellcheck disable=SC2086,SC2154 # words; the test sets model
    exec $under "$weir" serve "$model" --listen 127.0.0.1:0 $always "$@"
  ) >"$dir/address" 2>"$dir/log" &
  server=$!
  wait_for 'the server' listens_or_ended
  test -s "$dir/address" || fail "no server: $(cat "$dir/log")"
  base=$(cat "$dir/address")
}

listens_or_ended() { test -s "$dir/address" || ! kill -0 "$server" 2>/dev/null; }

# stop: SIGTERM, and the exit status.
stop() {
  kill -TERM "$server"
  got=0
  wait "$server" || got=$?
  server=
  equal 'ends in order' "$got" 0
}

murder() {
  kill -9 "$server"
  wait "$server" 2>/dev/null || :
  server=
}

# $trust: the certificate of a server that speaks TLS.
trust=
client() { curl -s -m 300 ${trust:+--cacert "$trust"} "$@"; }

# look PATH [CURL OPTION...]: the body goes to $dir/out, the status to $status, the headers to $dir/head.
look() {
  path=$1
  shift
  status=$(client -o "$dir/out" -D "$dir/head" -w '%{http_code}' "$base$path" "$@") || status="curl $?"
}

# ask PATH JSON [CURL OPTION...]: the same, of a POST.
ask() {
  path=$1
  body=$2
  shift 2
  look "$path" -H 'Content-Type: application/json' -d "$body" "$@"
}

# is STATUS WHAT
is() { equal "$2 ($(head -c 300 "$dir/out"))" "$status" "$1"; }

# says WORDS: in the body.
says() { ok "\"$1\" in $(head -c 300 "$dir/out")" grep -qF -e "$1" "$dir/out"; }

# refused STATUS WORDS: the last answer was an error in OpenAI's shape, whose message has the words.
refused() {
  is "$1" "refused with $1"
  case $(json "$dir/out" error.message) in
    *"$2"*) ;;
    *) fail "no \"$2\" in $(cat "$dir/out")" ;;
  esac
}

metric() { client "$base/metrics" | sed -n "s/^weir_$1 //p"; }
metric_is() { [ "$(metric "$1")" = "$2" ]; }

# new_stream JSON: $stream is its id.
new_stream() {
  ask /v1/streams "$1"
  is 201 'created'
  # shellcheck disable=SC2034
  stream=$(json "$dir/out" id)
}
