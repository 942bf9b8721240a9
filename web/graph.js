// A line of the last samples, from zero up.

const SVG = "http://www.w3.org/2000/svg";
const SAMPLES = 120;

export class Graph {
  constructor(svg, words, say) {
    this.svg = svg;
    this.words = words;
    this.say = say;
    this.samples = [];
    svg.setAttribute("viewBox", "0 0 120 24");
    svg.setAttribute("preserveAspectRatio", "none");
    const floor = document.createElementNS(SVG, "line");
    floor.setAttribute("class", "floor");
    for (const [key, value] of Object.entries({ x1: 0, x2: 120, y1: 23.5, y2: 23.5 })) {
      floor.setAttribute(key, value);
    }
    this.line = document.createElementNS(SVG, "polyline");
    this.line.setAttribute("class", "graph");
    svg.append(floor, this.line);
  }

  clear() {
    this.samples = [];
    this.line.setAttribute("points", "");
    this.words.textContent = "";
  }

  add(value) {
    this.samples.push(value);
    if (this.samples.length > SAMPLES) this.samples.shift();
    const most = Math.max(...this.samples, 1e-9);
    const step = 120 / (SAMPLES - 1);
    this.line.setAttribute("points", this.samples.map((v, i) =>
      `${(i * step).toFixed(2)},${(23 - 21 * v / most).toFixed(2)}`).join(" "));
    this.words.textContent = this.say(value, most);
  }
}
