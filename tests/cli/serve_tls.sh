# serve over TLS, with a certificate that is made here: text, events, a body that arrives in parts; and what is refused.
# shellcheck source=tests/cli/serve_lib.sh
. "$(dirname "$0")/serve_lib.sh"

needs openssl
model=$dir/model.gguf
make_model "$model"
certify() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=127.0.0.1' -addext 'subjectAltName=IP:127.0.0.1' \
    -keyout "$dir/$1.key" -out "$dir/$1.pem" 2>"$dir/err" || fail "openssl: $(cat "$dir/err")"
}
certify own
certify other

start --tls-certificate "$dir/own.pem" --tls-key "$dir/own.key"
ok "$base is https" starts "$base" https://
trust=$dir/own.pem
look /health
is 200 'health'
prompt='the river runs on'
ask /v1/completions "{\"prompt\":\"$prompt\",\"max_tokens\":30,\"seed\":5}"
is 200 'a completion'
"$weir" run "$model" --prompt "$prompt" -n 30 --seed 5 --json >"$dir/run" 2>/dev/null
equal 'the text of weir run' "$(json "$dir/out" choices.0.text)" "$(json "$dir/run" text)"
new_stream '{}'
printf 'the mill hums by the weir' | client -T - -X POST "$base/v1/streams/$stream/append" \
  -H 'Content-Type: text/plain' >"$dir/appended"
ok 'a body that arrives' test "$(json "$dir/appended" appended)" -gt 5
ask "/v1/streams/$stream/generate" '{"max_tokens":12,"stream":true,"ignore_eos":true}'
equal 'events' "$(grep -c '^event: token' "$dir/out")" 12

# who is not trusted is not talked to; plain HTTP is not understood
trust=$dir/other.pem
look /health
equal 'another certificate' "$status" 'curl 60'
trust=
status=$(curl -s -m 20 -o "$dir/out" -w '%{http_code}' "http://${base#https://}/health") || :
ok "no answer in the clear: $status" test "$status" != 200
trust=$dir/own.pem
look /health
is 200 'health, after that'
stop

# Files that do not fit are refused at the start.
refuses '--tls' serve "$model" --listen 127.0.0.1:0 --tls-certificate "$dir/own.pem"
fails "$dir/none" serve "$model" --listen 127.0.0.1:0 --tls-certificate "$dir/none" --tls-key "$dir/own.key"
got=0
timeout 20 "$weir" serve "$model" --listen 127.0.0.1:0 --tls-certificate "$dir/own.pem" --tls-key "$dir/other.key" \
  >"$dir/out" 2>"$dir/err" || got=$?
ok "a key of another certificate ($got): $(cat "$dir/err")" test "$got" -eq 1 -o "$got" -eq 2
ok 'nothing listened' test ! -s "$dir/out"
done_with
