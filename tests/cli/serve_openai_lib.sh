# What the tests of OpenAI's own clients share: a server with a key, and what the example must say.
# shellcheck shell=sh
# shellcheck source=tests/cli/serve_lib.sh
. "$(dirname "$0")/serve_lib.sh"
root=${WEIR_ROOT:-.}
model=$root/models/weir-small.gguf

# line NAME: what the example printed after "NAME: ".
line() { sed -n "s/^$1: //p" "$dir/said"; }

# client_says COMMAND...: the example runs, and says what curl is answered.
client_says() {
  echo secret >"$dir/keys"
  start --api-key-file "$dir/keys" --quiet
  WEIR_URL=$base WEIR_KEY=secret "$@" >"$dir/said" 2>"$dir/err" || fail "$*: $(cat "$dir/said" "$dir/err")"
  ask /v1/chat/completions '{"messages": [{"role": "system", "content": "You tell stories."},
    {"role": "user", "content": "Tell me about a bear."}], "max_tokens": 40, "temperature": 0, "seed": 1}' \
    -H 'Authorization: Bearer secret'
  is 200 'the same of curl'
  json "$dir/out" choices.0.message.content | tr -s '[:space:]' ' ' | sed 's/^ //; s/ $//' >"$dir/wanted"
  equal 'the model' "$(line model)" weir-small
  equal 'the chat' "$(line whole)" "$(cat "$dir/wanted")"
  ok 'it is a text' test "$(wc -c <"$dir/wanted")" -gt 20
  equal 'nothing is forgotten yet' "$(line forgotten)" 0
  equal 'its pieces' "$(line pieces)" "$(line whole)"
  equal 'what it used' "$(line used)" "$(json "$dir/out" usage.completion_tokens)"
  equal 'a completion' "$(line completion)" 20
  equal 'vectors' "$(line vectors)" 2
  equal 'of length 1' "$(line length | sed 's/\.0$//')" 1
  ok 'a talk that goes on' test "$(line fox)" -gt "$(line bear)"
  equal 'no such model' "$(line 'no such model')" 'NotFoundError 404 model_not_found'
  equal 'no such field' "$(line 'no such field')" 'BadRequestError 400 USAGE'
  equal 'not supported' "$(line 'not supported')" 'BadRequestError 400 UNSUPPORTED'
  ok 'a wrong key' starts "$(line 'wrong key')" 'AuthenticationError 401'
  equal 'no stream is left' "$(client -H 'Authorization: Bearer secret' "$base/metrics" | sed -n 's/^weir_streams //p')" 0
  stop
}
