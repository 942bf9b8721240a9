# OpenAI's own client for Python, by examples/openai_chat.py. WEIR_PYTHON names another Python.
# shellcheck source=tests/cli/serve_openai_lib.sh
. "$(dirname "$0")/serve_openai_lib.sh"

python=${WEIR_PYTHON:-python3}
"$python" -c 'import openai' 2>/dev/null || {
  echo "the openai package of $python is not installed"
  exit 77
}
client_says "$python" "$root/examples/openai_chat.py"
done_with
