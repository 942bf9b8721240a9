# The page at /, in a real browser: it is drawn at three sizes and in both colour schemes, a stream is
# talked to, what is forgotten fades, an aside leaves the stream alone, and nothing comes from elsewhere.
# shellcheck source=tests/cli/serve_lib.sh
. "$(dirname "$0")/serve_lib.sh"

needs chromedriver jq

model=${WEIR_ROOT:-.}/models/weir-small.gguf
session=''
trap '[ -z "$session" ] || curl -s -m 10 -X DELETE "$hub/session/$session" >/dev/null
  clean_up' EXIT

start --quiet --store "$dir/store"
chromedriver --port=0 >"$dir/driver" 2>&1 &
others=$!
wait_for 'the browser driver' grep -q 'successfully on port' "$dir/driver"
hub=http://127.0.0.1:$(sed -n 's/.*successfully on port \([0-9]*\).*/\1/p' "$dir/driver")

# ---- the browser ---------------------------------------------------------------------------------

# wd METHOD PATH [JSON]: the driver's answer goes to $dir/wd.
wd() {
  set -- "$1" "$2" "${3-}"
  curl -s -m 300 -X "$1" "$hub$2" -H 'Content-Type: application/json' ${3:+-d "$3"} >"$dir/wd"
}

wd POST /session '{"capabilities":{"alwaysMatch":{"browserName":"chrome","goog:loggingPrefs":{"browser":"ALL"},
  "goog:chromeOptions":{"args":["--headless=new","--no-sandbox","--disable-gpu","--disable-dev-shm-usage"]}}}}'
session=$(jq -r '.value.sessionId // empty' "$dir/wd")
[ -n "$session" ] || {
  echo "no browser: $(head -c 300 "$dir/wd")"
  exit 77
}

# js SCRIPT: what it returns.
js() {
  wd POST "/session/$session/execute/sync" "$(jq -n --arg s "$1" '{script: $s, args: []}')"
  jq -r '.value | if type == "object" and has("error") then "script failed: " + .message else . end' "$dir/wd"
}

# till SCRIPT: it returns true before long.
shown() { [ "$(js "$1")" = true ]; }
till() { wait_for "$1" shown "$1"; }

# keys SELECTOR TEXT: typed there, as a person would. U+E007 is Enter.
keys() {
  wd POST "/session/$session/element" "$(jq -n --arg s "$1" '{using: "css selector", value: $s}')"
  element=$(jq -r '.value | to_entries[0].value' "$dir/wd")
  wd POST "/session/$session/element/$element/value" "$(jq -n --arg t "$2" '{text: $t}')"
}

size() { wd POST "/session/$session/window/rect" "{\"width\":$1,\"height\":$2}"; }

scheme() {
  wd POST "/session/$session/goog/cdp/execute" "{\"cmd\":\"Emulation.setEmulatedMedia\",
    \"params\":{\"features\":[{\"name\":\"prefers-color-scheme\",\"value\":\"$1\"}]}}"
}

# ---- headers -------------------------------------------------------------------------------------

look /
cp "$dir/out" "$dir/page"
ok 'the page is HTML' grep -qi '^content-type: text/html' "$dir/head"
ok 'a strict policy' grep -qi "^content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'" "$dir/head"
ok 'types are not guessed' grep -qi '^x-content-type-options: nosniff' "$dir/head"
ok 'nothing is inline' not grep -qE '<style|<script[^>]*>[^<]|onclick=|style=' "$dir/page"
ok 'nothing comes from elsewhere' not grep -qE '(src|href)="(https?:)?//' "$dir/page"
look /web/../server.c --path-as-is
is 404 'no way out of the folder'

# ---- a talk --------------------------------------------------------------------------------------

size 1280 860
wd POST "/session/$session/url" "$(jq -n --arg u "$base/" '{url: $u}')"
till 'return document.querySelector("#create").open'
keys '#window' 96
keys '#system' 'Once upon a time there was a little bear called Tom.'
js 'document.querySelector("#shape").value = "text"' >/dev/null
js 'document.querySelector("#create button[value=create]").click()' >/dev/null
till 'return document.querySelector(".piece.pinned") !== null'

keys '#say' "One day he went to the river and$(printf '\356\200\207')"
made='return /tokens made/.test(document.querySelector("#status").textContent)'
till "$made"
js 'document.querySelector("#status").textContent = ""' >/dev/null
keys '#say' "The next morning his mother said$(printf '\356\200\207')"
till "$made"
till 'return document.querySelector(".piece.user .forgotten").textContent.length > 10'
equal 'pinned words stay' "$(js 'return document.querySelector(".piece.pinned .forgotten").textContent')" ''
equal 'one shore' "$(js 'return document.querySelectorAll(".shore").length')" 1
# what the page says of the cache is what the server says
id=$(js 'return document.querySelector("#stream").value')
look "/v1/streams/$id"
read_=$(json "$dir/out" index)
till "return document.querySelector('#strip-words').textContent.replaceAll(',', '').startsWith('$read_ tokens read')"

# an aside answers and leaves the stream as it was
keys '#say' 'Who was hungry?'
js 'document.querySelector("#ask").click()' >/dev/null
till 'return document.querySelector("#asides li") !== null'
equal 'the stream is not disturbed' "$(client "$base/v1/streams/$id" | jq .index)" "$read_"

# the page again, and a server again: what was said is there
pieces='return [...document.querySelectorAll(".piece")].map((e) => e.className.split(" ")[1] + ": "
  + e.children[1].textContent + "~" + e.children[e.children.length - 1].textContent).join("|").replaceAll("~", "")'
before=$(js "$pieces")
ok 'five pieces' test "$(js 'return document.querySelectorAll(".piece").length')" = 5
wd POST "/session/$session/url" '{"url": "about:blank"}' # whoever looks at a server that ends may complain
stop
start --quiet --store "$dir/store"
wd POST "/session/$session/url" "$(jq -n --arg u "$base/" '{url: $u}')"
till 'return document.querySelectorAll(".piece").length === 5'
equal 'the same transcript' "$(js "$pieces")" "$before"

# a mark, a fork
js 'document.querySelector("#mark").click()' >/dev/null
till 'return document.querySelector("#marks").options.length === 1'
js 'document.querySelector("#fork").click()' >/dev/null
till 'return document.querySelector("#stream").options.length === 2'
till 'return document.querySelectorAll(".piece").length >= 5' # the same past

# ---- sizes, colours, names -----------------------------------------------------------------------

# The contrast of a selector's text with what is behind it, by WCAG's formula.
contrast='const light = (c) => { const [r, g, b] = c.match(/[\d.]+/g).slice(0, 3).map((v) => { v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { const c = getComputedStyle(e).backgroundColor;
    return c === "rgba(0, 0, 0, 0)" && e.parentElement ? behind(e.parentElement) : c; };
  const ratio = (e) => { const [a, b] = [getComputedStyle(e).color, behind(e)].map(light);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); };'
for colours in light dark; do
  scheme "$colours"
  sleep 1 # colours fade
  for part in body .forgotten .who '#send' '#strip-words' '#status' label; do
    till "$contrast return ratio(document.querySelector('$part')) >= 4.5" # it can be read
  done
done
for width in 360 820 1280; do
  size "$width" 800
  till 'return document.documentElement.scrollWidth <= window.innerWidth' # nothing sticks out
  till 'const b = document.querySelector("#send"); b.scrollIntoView(); const r = b.getBoundingClientRect();
    return document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2) === b' # what is written can be sent
done
equal 'every control has a name' "$(js 'return [...document.querySelectorAll("button, input, select, textarea")]
  .filter((e) => !(e.textContent.trim() || e.labels?.length || e.getAttribute("aria-label")))
  .map((e) => e.id).join()')" ''
wd POST "/session/$session/se/log" '{"type":"browser"}'
equal 'the browser has no complaint' "$(jq -r '[.value[] | select(.level == "SEVERE") | .message] | join("; ")' "$dir/wd")" ''
done_with
