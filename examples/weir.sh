# What the examples in sh share: requests to `weir serve` at $WEIR_URL. $WEIR_HEADERS: a file with headers, such as
# "Authorization: Bearer KEY", where the server wants a key (so the key is in no list of processes).
# shellcheck shell=sh
url=${WEIR_URL:-http://127.0.0.1:8080}

# request PATH CURL-OPTION...
request() {
  path=$1
  shift
  curl -sS --fail-with-body ${WEIR_HEADERS:+-H "@$WEIR_HEADERS"} "$url$path" "$@"
}
post() { request "$1" -H 'Content-Type: application/json' -d "$2"; }

# quote TEXT: as a string of JSON; line ends become spaces.
quote() {
  printf '"%s"' "$(printf '%s' "$1" | tr '\n\r\t' '   ' | tr -d '\000-\037' | sed 's/\\/\\\\/g; s/"/\\"/g')"
}

# field NAME: that string of the JSON on stdin, as text; without control characters that a terminal might obey.
field() {
  printf '%b\n' "$(sed -n 's/.*"'"$1"'": *"\(\([^"\\]\|\\.\)*\)".*/\1/p' | sed 's/\\u00[01][0-9a-fA-F]//g; s/\\"/"/g')"
}

# new_stream SYSTEM: its id; the text is fed first and never forgotten.
new_stream() { post /v1/streams "{\"system\": $(quote "$1")}" | field id; }

# answer STREAM QUESTION: asked of a fork that is dropped: the stream goes on as if nobody had asked.
answer() {
  post "/v1/streams/$1/ask" "{\"messages\": [{\"role\": \"user\", \"content\": $(quote "$2")}],
    \"max_tokens\": ${WEIR_TOKENS:-100}, \"temperature\": 0}" | field text
}
