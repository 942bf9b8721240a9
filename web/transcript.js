// What was said, each piece with the tokens of the stream that it stands for. What the stream no longer
// sees fades; a line shows where remembering begins.

const names = { user: "you", model: "model", system: "pinned", elsewhere: "elsewhere" };

// A character's border at or after `at`: a surrogate pair stays whole.
function whole(text, at) {
  const code = text.charCodeAt(at - 1);
  return code >= 0xd800 && code < 0xdc00 ? at + 1 : at;
}

export class Transcript {
  constructor(element) {
    this.element = element;
    this.pieces = [];
    this.oldest = 0; // index of the oldest recent token that is seen
    this.sinks = 0;  // tokens before it that are seen for ever
    this.shore = document.createElement("p");
    this.shore.className = "shore";
    this.shore.setAttribute("role", "separator");
    this.shore.textContent = "forgotten above";
  }

  clear() {
    this.pieces = [];
    this.element.replaceChildren();
  }

  // `first`, `end`: its tokens; `end` may be told later.
  add(kind, text, first, end = first) {
    const box = document.createElement("div");
    const who = document.createElement("span");
    const gone = document.createElement("span");
    const seen = document.createElement("span");
    box.className = `piece ${kind === "system" ? "pinned" : kind}`;
    who.className = "who";
    who.textContent = names[kind];
    gone.className = "forgotten";
    box.append(who, gone, seen);
    const piece = { kind, text, first, end, box, gone, seen, cut: 0 };
    this.pieces.push(piece);
    this.#follow(() => this.element.append(box));
    this.#draw(piece);
    return piece;
  }

  // More of a piece: text that came with tokens up to `end`.
  extend(piece, text, end) {
    piece.text += text;
    piece.end = Math.max(piece.end, end);
    this.#follow(() => this.#draw(piece));
  }

  place(piece, first, end) {
    piece.first = first;
    piece.end = end;
    this.#draw(piece);
  }

  // What the stream sees now.
  see(sinks, oldest) {
    this.sinks = sinks;
    this.oldest = oldest;
    for (const piece of this.pieces) this.#draw(piece);
    this.#drawShore();
  }

  // Pieces behind `index` never were: the stream went back.
  cut(index) {
    while (this.pieces.length > 0 && this.pieces.at(-1).first >= index) {
      this.pieces.pop().box.remove();
    }
    this.#drawShore();
  }

  // A reader at the end stays at the end; one who looks back is left alone.
  #follow(change) {
    const e = this.element;
    const atEnd = e.scrollHeight - e.scrollTop - e.clientHeight < 40;
    change();
    if (atEnd) e.scrollTop = e.scrollHeight;
  }

  // How many of a piece's tokens are forgotten: those from `sinks` to `oldest`.
  #forgotten(piece) {
    const from = Math.max(piece.first, this.sinks);
    const until = Math.min(piece.end, this.oldest);
    return Math.max(0, until - from);
  }

  #draw(piece) {
    const tokens = piece.end - piece.first;
    const gone = this.#forgotten(piece);
    const share = tokens > 0 ? gone / tokens : 0;
    piece.cut = share >= 1 ? piece.text.length
                           : whole(piece.text, Math.floor(piece.text.length * share));
    piece.gone.textContent = piece.text.slice(0, piece.cut);
    piece.seen.textContent = piece.text.slice(piece.cut);
    piece.box.classList.toggle("gone", gone > 0 && gone >= tokens);
  }

  // Inside the piece that is half forgotten, else behind the last that is.
  #drawShore() {
    const last = this.pieces.findLast((piece) => this.#forgotten(piece) > 0);
    if (last === undefined) this.shore.remove();
    else if (!last.box.classList.contains("gone")) last.gone.after(this.shore);
    else if (last.box.nextSibling !== this.shore) last.box.after(this.shore);
  }
}
