# serve --store under load: the server is killed whenever, again and again, while many clients are at work; nothing
# that was acknowledged is lost, and all streams go on as their twins on a server that nobody kills.
# Two hundred times: WEIR_KILLS=200 meson test -C build cli/serve_killed --timeout-multiplier 5 -v
# shellcheck source=tests/cli/serve_lib.sh
. "$(dirname "$0")/serve_lib.sh"
killed_server=${WEIR_BUILD:-$(dirname "$1")}/tests/killed_server

kills=${WEIR_KILLS:-24}
clients=${WEIR_CLIENTS:-24}
seed=${WEIR_SEED:-1}
model=$dir/model.gguf
make_model "$model"
echo "seed $seed (WEIR_SEED)"

# in plenty of memory, and where idle streams make room for others; the twins have no store, so all of them must fit
half=$((kills / 2))
for memory in 2G $((clients / 2))M; do
  ok "$kills kills" "$killed_server" $((kills - half)) "$clients" "$seed" "$dir/store.$memory" "$weir" serve "$model" \
    --listen 127.0.0.1:0 --threads 1 --sinks 4 --window 28 --queue 256 --connections 512 --timeout 600 \
    --memory "$memory"
  kills=$half
  half=0
done
done_with
