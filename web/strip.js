// The page table as a strip of cells: pinned ones, then the ring of recent ones.

const SVG = "http://www.w3.org/2000/svg";
const CELLS = 64; // at most; each stands for as many tokens as it takes
const ACROSS = 16;

function cell(place, fill, name) {
  const group = document.createElementNS(SVG, "g");
  const x = (place % ACROSS) * 10, y = Math.floor(place / ACROSS) * 10;
  const box = document.createElementNS(SVG, "rect");
  for (const [key, value] of Object.entries({ x: x + 1, y: y + 1, width: 8, height: 8, rx: 1 })) {
    box.setAttribute(key, value);
  }
  box.setAttribute("class", "cell fill-free");
  const level = box.cloneNode();
  level.setAttribute("class", name);
  level.setAttribute("height", 8 * fill);
  level.setAttribute("y", y + 9 - 8 * fill);
  group.append(box, level);
  return group;
}

// {cells: [{fill, pinned}], each: tokens of a cell} of a stream's state.
export function cellsOf(state) {
  const slots = state.sinks + state.window;
  const each = Math.max(1, Math.ceil(slots / CELLS));
  const cells = [];
  const pinned = Math.min(state.index, state.sinks);
  for (let at = 0; at < state.sinks; at += each) {
    const room = Math.min(each, state.sinks - at);
    cells.push({ fill: Math.max(0, Math.min(1, (pinned - at) / room)), pinned: true });
  }
  // Token t lies in slot t modulo the window, so the newest moves round and round.
  const oldest = Math.max(state.oldest, state.sinks);
  const used = Math.max(0, state.index - oldest);
  for (let at = 0; at < state.window; at += each) {
    const room = Math.min(each, state.window - at);
    let held = 0;
    for (let slot = at; slot < at + room; slot++) {
      const behind = ((slot - oldest) % state.window + state.window) % state.window;
      held += behind < used ? 1 : 0;
    }
    cells.push({ fill: held / room, pinned: false });
  }
  return { cells, each };
}

export function drawStrip(svg, words, state) {
  const { cells, each } = cellsOf(state);
  const rows = Math.ceil(cells.length / ACROSS);
  svg.setAttribute("viewBox", `0 0 ${ACROSS * 10} ${rows * 10}`);
  svg.replaceChildren(...cells.map((c, place) =>
    cell(place, c.fill, c.pinned ? "fill-pinned" : "fill-recent")));
  const count = (n) => n.toLocaleString("en");
  const seen = state.index - state.evicted;
  words.textContent = `${count(state.index)} tokens read, ${count(seen)} seen ` +
    `(${count(Math.min(state.sinks, state.index))} of them pinned), ` +
    `${count(state.evicted)} forgotten. A cell is ${count(each)} ${each === 1 ? "token" : "tokens"}.`;
}
