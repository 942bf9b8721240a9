# OpenAI's own client for JavaScript, by examples/openai_chat.mjs. WEIR_NODE_MODULES names the folder that has it.
# shellcheck source=tests/cli/serve_openai_lib.sh
. "$(dirname "$0")/serve_openai_lib.sh"

needs node
modules=${WEIR_NODE_MODULES:-$(npm root -g 2>/dev/null || :)}
if [ ! -d "$modules/openai" ]; then
  echo 'the openai package of npm is not installed'
  exit 77
fi
ln -s "$modules" "$dir/node_modules" # a module looks beside itself
cp "$root/examples/openai_chat.mjs" "$dir/"
client_says node "$dir/openai_chat.mjs"
done_with
