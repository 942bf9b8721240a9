# examples/weir.service: systemd reads it without a complaint and finds it closed enough; what it starts is a server.
# shellcheck source=tests/cli/serve_lib.sh
. "$(dirname "$0")/serve_lib.sh"

unit=${WEIR_ROOT:-.}/examples/weir.service
model=$dir/model.gguf
make_model "$model"

# What it starts, with paths of this test.
sed -n 's/^ExecStart=//p' "$unit" >"$dir/command"
equal 'one command' "$(wc -l <"$dir/command")" 1
starts_with=$(cut -d ' ' -f 1,2 "$dir/command")
equal 'it is the server' "$starts_with" '/usr/local/bin/weir serve'
always=$(cut -d ' ' -f 4- "$dir/command" | sed "s|/var/lib/weir|$dir|; s|\\\$WEIR_OPTIONS||")
equal 'the model comes from the environment' "$(cut -d ' ' -f 3 "$dir/command")" "\${WEIR_MODEL}"
start --memory 64M
look /health
is 200 'health'
new_stream '{}'
ok 'its store' test -d "$dir/streams"
stop

needs systemd-analyze
sed "s|^ExecStart=[^ ]*|ExecStart=$(realpath "$weir")|" "$unit" >"$dir/weir.service"
ok "systemd reads it: $(systemd-analyze verify "$dir/weir.service" 2>&1)" systemd-analyze verify "$dir/weir.service"
equal 'without a word' "$(systemd-analyze verify "$dir/weir.service" 2>&1 | grep -F weir.service || :)" ''
# as docs/server.md has the keys of root alone
mkdir "$dir/weir.service.d"
sed -n '/LoadCredential/,/api-key-file/p' "${WEIR_ROOT:-.}/docs/server.md" | sed "s|/usr/local/bin/weir|$(realpath "$weir")|; s/^ *//" >"$dir/drop-in"
{
  echo '[Service]'
  cat "$dir/drop-in"
} >"$dir/weir.service.d/keys.conf"
equal 'three lines' "$(wc -l <"$dir/drop-in")" 3
equal 'keys as a credential' "$(systemd-analyze verify "$dir/weir.service" 2>&1 | grep -F -e weir.service -e keys.conf || :)" ''
ok 'little is left open' systemd-analyze security --offline=true --threshold=20 "$dir/weir.service" >"$dir/out" 2>&1
done_with
