# serve and docs/openapi.json say the same: routes, fields, and everything that is asked and answered here.
# shellcheck source=tests/cli/serve_lib.sh
. "$(dirname "$0")/serve_lib.sh"

root=${WEIR_ROOT:-.}
document=$root/docs/openapi.json
check=${WEIR_BUILD:-$(dirname "$1")}/tests/openapi_check

# ---- routes and names of fields, as they stand in the source -----------------------------------------

"$check" "$document" routes >"$dir/routes" || fail 'the document is not sound'
sort "$dir/routes" >"$dir/documented"
sed -n 's/^ *{"\([A-Z]*\)", "\([^"]*\)", BODY_.*/\1 \2/p' "$root/server/api/routes.c" | sort -u >"$dir/served"
ok 'there are routes' test -s "$dir/served"
ok "every route is documented, and the other way round: $(diff "$dir/served" "$dir/documented")" \
  cmp -s "$dir/served" "$dir/documented"
"$check" "$document" fields >"$dir/fields"
grep -oh '{"[a-z_]*", FIELD_' "$root"/server/requests/*_request.c | cut -d '"' -f 2 | sort -u >"$dir/read"
ok 'there are fields' test "$(wc -l <"$dir/read")" -gt 40
while read -r field; do
  [ "$field" = include_usage ] || # within stream_options
    ok "$field is documented" grep -q " $field\$" "$dir/fields"
done <"$dir/read"

# ---- every documented field is known to the server ---------------------------------------------------

model=$dir/model.gguf
make_model "$model"
start --sinks 4 --window 28 --store "$dir/store"
new_stream '{}'
while read -r _ path field; do
  ask "$(echo "$path" | sed "s/:/$stream/")" "{\"$field\":[\"no such value\"]}"
  ok "$path knows $field: $(cat "$dir/out")" not grep -q 'is no field' "$dir/out"
done <"$dir/fields"
look "/v1/streams/$stream" -X DELETE

# ---- what is asked and answered -----------------------------------------------------------------------

# held METHOD PATH [JSON]: the exchange is as the document says; $status.
: >"$dir/held"
held() {
  method=$1
  path=$2
  body=${3-}
  set --
  [ -z "$body" ] || {
    printf '%s' "$body" >"$dir/request"
    set -- -H 'Content-Type: application/json' --data-binary "@$dir/request"
  }
  look "$path" -X "$method" "$@"
  type=$(tr -d '\r' <"$dir/head" | sed -n 's/^[Cc]ontent-[Tt]ype: //p')
  set -- "$method" "$path" "$status" "$type" "$dir/out"
  [ -z "$body" ] || set -- "$@" "$dir/request"
  ok "$method $path $status: $(head -c 300 "$dir/out")" "$check" "$document" exchange "$@" >>"$dir/held"
}

held GET /
held GET /web/main.js
held GET /web/style.css
held GET /web/none
held GET /openapi.json
ok 'it is the document' cmp "$dir/out" "$document"
held GET /health
held GET /metrics
held GET /v1/models

prompt='the river runs on, and the mill hums by the weir all day and all night'
held POST /v1/completions "{\"prompt\":\"$prompt\",\"max_tokens\":20,\"logprobs\":2,\"n\":2,\"seed\":-1,\"stop\":[\"zz\"]}"
equal 'made' "$status" 200
held POST /v1/completions "{\"prompt\":[1,2,3],\"max_tokens\":5,\"temperature\":0,\"stream\":true,\"logprobs\":1,
  \"stream_options\":{\"include_usage\":true},\"logit_bias\":{\"300\":5}}"
equal 'made' "$status" 200
held POST /v1/completions '{"prompt":["x"],"max_tokens":-1}'
equal 'refused' "$status" 400
held POST /v1/completions '{"prompt":"x","model":"none"}'
equal 'no such model' "$status" 404
chat='"messages":[{"role":"system","content":"the mill"},{"role":"user","content":[{"type":"text","text":"hums"}]}]'
held POST /v1/chat/completions "{$chat,\"max_tokens\":9,\"logprobs\":true,\"top_logprobs\":3,\"policy\":\"sink\",\"cache\":64}"
equal 'made' "$status" 200
held POST /v1/chat/completions "{$chat,\"max_completion_tokens\":9,\"stream\":true,\"user\":\"me\",\"tools\":[],
  \"response_format\":{\"type\":\"text\"}}"
equal 'made' "$status" 200
held POST /v1/chat/completions "{$chat,\"response_format\":{\"type\":\"json_object\"}}"
equal 'refused' "$status" 400
held POST /v1/embeddings '{"input":["the river",[1,2]],"encoding_format":"float"}'
equal 'vectors' "$status" 200
held POST /v1/embeddings '{"input":"the river","encoding_format":"base64"}'
equal 'a vector' "$status" 200
held POST /v1/embeddings '{"input":[]}'
equal 'refused' "$status" 400

held POST /v1/streams '{"system":"the river","seed":3,"temperature":0.5,"policy":"sink","window":28}'
equal 'created' "$status" 201
stream=$(json "$dir/out" id)
client -N "$base/v1/streams/$stream/events" >"$dir/heard" &
listener=$!
wait_for 'the listener' grep -q '^event: state' "$dir/heard"
held POST "/v1/streams/$stream/append" "{\"text\":\"$prompt\",\"flush\":true,\"border\":true}"
equal 'appended' "$status" 200
held POST "/v1/streams/$stream/append" '{"messages":[{"role":"user","content":"why?"}]}'
held POST "/v1/streams/$stream/append" '{"text":3}'
equal 'refused' "$status" 400
look "/v1/streams/$stream/append" -H 'Content-Type: text/plain' -d "$prompt"
is 200 'a body that is no JSON'
held POST "/v1/streams/$stream/marks" '{"name":"here"}'
equal 'marked' "$status" 201
held POST "/v1/streams/$stream/generate" '{"max_tokens":300,"ignore_eos":true,"logprobs":2}'
equal 'made' "$status" 200
held POST "/v1/streams/$stream/generate" '{"text":" and","max_tokens":9,"stream":true,"logprobs":1}'
equal 'made' "$status" 200
held POST "/v1/streams/$stream/ask" '{"text":" why?","max_tokens":5,"min_p":0.1}'
held POST "/v1/streams/$stream/ask" '{"text":" why?","max_tokens":5,"stream":true}'
held POST "/v1/streams/$stream/rewind" '{"index":20}'
equal 'forgotten' "$status" 409
held POST "/v1/streams/$stream/rewind" '{"mark":"here"}'
equal 'rewound' "$status" 200
held POST "/v1/chat/completions" "{\"stream_id\":\"$stream\",\"max_tokens\":3,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"
equal 'on the stream' "$status" 200
held GET "/v1/streams/$stream/text"
equal 'its text' "$status" 200
for kind in given message made moved; do says "\"kind\":\"$kind\""; done
held DELETE "/v1/streams/$stream/marks/here"
equal 'unmarked' "$status" 200
held DELETE "/v1/streams/$stream/marks/here"
held GET "/v1/streams/$stream"
held POST "/v1/streams/$stream/fork"
equal 'forked' "$status" 201
held GET /v1/streams
held DELETE "/v1/streams/$stream"
equal 'deleted' "$status" 200
held GET "/v1/streams/$stream"
equal 'gone' "$status" 404
wait "$listener"
ok 'events' "$check" "$document" exchange GET "/v1/streams/$stream/events" 200 text/event-stream "$dir/heard" \
  >>"$dir/held"
for event in state fed token evicted moved end; do
  ok "$event was heard" grep -q "^event: $event\$" "$dir/heard"
done
murder
start --sinks 4 --window 28 --store "$dir/store"
held GET /v1/streams
says '"loaded"'
stop

# Nothing is documented that was not seen here.
cut -d ' ' -f 1,2 "$dir/held" | sort -u >"$dir/seen"
ok "every route was held to it: $(diff "$dir/seen" "$dir/documented")" cmp -s "$dir/seen" "$dir/documented"

# ---- the checker itself finds what is wrong -------------------------------------------------------------

# differs WORDS EXCHANGE...: the checker complains with these words.
differs() {
  words=$1
  shift
  ok "$words is found" not "$check" "$document" exchange "$@" >/dev/null 2>"$dir/complaint"
  ok "$words: $(cat "$dir/complaint")" grep -qF -e "$words" "$dir/complaint"
}
echo '{"status":"ok","streams_not_stored":0,"more":1}' >"$dir/wrong"
differs 'is in no schema' GET /health 200 application/json "$dir/wrong"
echo '{"status":"well","streams_not_stored":0}' >"$dir/wrong"
differs 'not among' GET /health 200 application/json "$dir/wrong"
echo '{"status":"ok","streams_not_stored":-1}' >"$dir/wrong"
differs 'out of its range' GET /health 200 application/json "$dir/wrong"
echo '{"status":"ok"}' >"$dir/wrong"
differs 'lacks what is required' GET /health 200 application/json "$dir/wrong"
echo '{"id":3}' >"$dir/wrong"
differs 'lacks what is required' GET /v1/streams/x 200 application/json "$dir/wrong"
differs 'is not documented' PATCH /health 200 application/json "$dir/wrong"
differs 'of type text/html' GET /health 200 text/html "$dir/wrong"
done_with
