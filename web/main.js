// The page: a stream that is talked to, and its cache that can be seen.

import { call, listen, onLocked, Refusal, words } from "./api.js";
import { Graph } from "./graph.js";
import { drawStrip } from "./strip.js";
import { Transcript } from "./transcript.js";

const $ = (id) => document.getElementById(id);
const transcript = new Transcript($("transcript"));
const bytes = (n) => `${(n / 1048576).toLocaleString("en", { maximumFractionDigits: 1 })} MiB`;
const memory = new Graph($("memory"), $("memory-words"),
  (now, most) => `the server holds ${bytes(now)} (most of late ${bytes(most)})`);
const speed = new Graph($("speed"), $("speed-words"), (now, most) =>
  `${now.toFixed(0)} tokens per second (most of late ${most.toFixed(0)})`);

const remembered = 4000; // entries that are asked for

let state = null;      // of the stream that is shown
let hearing = null;    // aborts its events
let answering = null;  // aborts the answer under way
let counted = 0;       // tokens since the last sample of speed

function say(message, failed = false) {
  $("status").textContent = message;
  $("status").classList.toggle("error", failed);
}

// Run what a person asked for; what goes wrong is said.
async function attempt(what) {
  try {
    await what();
  } catch (error) {
    if (error.name === "AbortError") say("stopped");
    else say(error instanceof Refusal ? error.message : `the server cannot be reached: ${error.message}`,
             true);
  }
}

const path = (rest = "") => `/v1/streams/${encodeURIComponent(state.id)}${rest}`;

// ---- the state that is shown ---------------------------------------------------------------------

function show(next) {
  state = next;
  drawStrip($("strip"), $("strip-words"), state);
  transcript.see(state.sinks, state.oldest);
  const marks = state.marks.map((mark) => new Option(`${mark.name} (${mark.index})`, mark.name));
  $("marks").replaceChildren(...marks);
  $("back").disabled = marks.length === 0;
}

// The page's own idea of a state between two that the server told.
function move(index) {
  if (index <= state.index) return;
  counted += index - state.index;
  state.index = index;
  drawStrip($("strip"), $("strip-words"), state);
}

function heard(name, event) {
  if (name === "state") {
    show(event);
  } else if (name === "fed" || name === "token") {
    move(name === "fed" ? event.index : event.index + 1);
    if (name === "token" && answering === null) fromElsewhere(event);
  } else if (name === "evicted") {
    state.oldest = event.end;
    state.evicted += event.end - event.first;
    transcript.see(state.sinks, state.oldest);
    drawStrip($("strip"), $("strip-words"), state);
  } else if (name === "moved") {
    transcript.cut(event.index);
    attempt(async () => show(await call("GET", path())));
  } else if (name === "lost") {
    attempt(async () => show(await call("GET", path())));
  } else if (name === "end") {
    say("the stream has ended", true);
    attempt(list);
  }
}

// Another client made it talk.
function fromElsewhere(event) {
  const last = transcript.pieces.at(-1);
  if (last?.kind === "elsewhere" && last.end === event.index) {
    transcript.extend(last, event.text, event.index + 1);
  } else {
    transcript.add("elsewhere", event.text, event.index, event.index + 1);
  }
}

// ---- streams --------------------------------------------------------------------------------------

async function list(wanted = state?.id) {
  const streams = (await call("GET", "/v1/streams")).data;
  $("stream").replaceChildren(...streams.map((s) => new Option(s.id, s.id)));
  for (const button of ["fork", "remove", "send", "ask", "mark"]) {
    $(button).disabled = streams.length === 0;
  }
  if (streams.length === 0) {
    state = null;
    hearing?.abort();
    transcript.clear();
    $("create").showModal();
    return;
  }
  const chosen = streams.find((s) => s.id === wanted) ?? streams[0];
  $("stream").value = chosen.id;
  if (state?.id !== chosen.id) await open(await call("GET", `/v1/streams/${encodeURIComponent(chosen.id)}`));
}

// What was said in the stream before the page was opened, as far as the server can tell.
async function recall() {
  const past = await call("GET", path(`/text?from=${-remembered}&bytes=262144`));
  const kinds = { given: "user", message: "user", made: "model", remembered: "elsewhere" };
  let waiting = null; // its tokens end where the next piece begins
  for (const { kind, role, index, text, to } of [...past.data, { kind: "end", index: state.index }]) {
    if (waiting !== null) {
      const pinned = waiting.index === 0 && index === state.sinks;
      const shown = waiting.role === "system" || pinned ? "system" : waiting.shown;
      transcript.add(shown, waiting.text, waiting.index, waiting.role === "system" ? state.sinks : index);
    }
    waiting = kind in kinds
      ? { text, index, role, shown: role === "assistant" ? "model" : kinds[kind] } : null;
    if (kind === "moved") transcript.cut(to);
  }
  transcript.see(state.sinks, state.oldest);
}

async function open(chosen) {
  hearing?.abort();
  answering?.abort();
  hearing = new AbortController();
  transcript.clear();
  memory.clear();
  speed.clear();
  show(chosen);
  say(chosen.index === 0 ? "a stream without a past"
                         : `this stream read ${chosen.index.toLocaleString("en")} tokens before`);
  const { signal } = hearing;
  await recall();
  if (signal.aborted) return;
  attempt(async () => {
    try {
      await listen("GET", path("/events"), undefined, signal, (name, event) => {
        if (!signal.aborted) heard(name, event);
      });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  });
}

async function create() {
  const number = (id) => ($(id).value === "" ? undefined : Number($(id).value));
  const system = $("system").value;
  const body = { sinks: number("sinks"), window: number("window"), evict: $("evict").value };
  if (system !== "") body[$("shape").value === "text" ? "system" : "chat_system"] = system;
  const made = await call("POST", "/v1/streams", body);
  await list(made.id);
  if (system !== "" && transcript.pieces.length === 0) {
    transcript.add("system", system, 0, state.sinks); // it is read with the first message
  }
}

// ---- talking --------------------------------------------------------------------------------------

const wordsOf = (text) => ($("shape").value === "text"
  ? { text } : { messages: [{ role: "user", content: text }] });

function busy(controller) {
  answering = controller;
  $("send").hidden = controller !== null;
  $("stop").hidden = controller === null;
}

async function send() {
  const text = $("say").value;
  const most = Number($("tokens").value);
  if (text === "" && $("shape").value === "message") return;
  const before = state.index;
  const asked = transcript.add("user", text, before, before);
  const answer = transcript.add("model", "", before, before);
  let made = 0;
  $("say").value = "";
  busy(new AbortController());
  say("reading");
  try {
    await listen("POST", path("/generate"),
      { ...(text === "" ? {} : wordsOf(text)), max_tokens: most, stream: true },
      answering.signal, (name, event) => {
        if (name === "token") {
          if (made === 0) transcript.place(asked, before, Math.max(before, state.index));
          made += "token" in event ? 1 : 0;
          const first = asked.end;
          answer.first = first;
          transcript.extend(answer, event.text, first + made);
          say("writing");
        } else if (name === "end") {
          const first = event.index - event.made;
          transcript.place(asked, first - event.prompt_tokens, first);
          transcript.place(answer, first, event.index);
          say(`${event.made} tokens made; ${event.evicted.toLocaleString("en")} forgotten in all`);
        } else if (name === "error") {
          throw new Refusal(500, event.error?.message ?? event.message);
        }
      });
    show(await call("GET", path())); // an event may have been missed
  } finally {
    busy(null);
    $("say").focus();
  }
}

// A fork answers: the stream itself is as before.
async function ask() {
  const text = $("say").value;
  if (text === "") return;
  const line = document.createElement("li");
  const who = document.createElement("span");
  const answer = document.createElement("span");
  who.className = "who";
  who.textContent = `${text}\n`;
  line.append(who, answer);
  $("asides").prepend(line);
  $("say").value = "";
  await listen("POST", path("/ask"),
    { ...wordsOf(text), max_tokens: Number($("tokens").value), stream: true }, undefined,
    (name, event) => {
      if (name === "token") answer.textContent += event.text;
      else if (name === "error") throw new Refusal(500, event.error?.message ?? event.message);
    });
}

// ---- what is measured -----------------------------------------------------------------------------

async function measure() {
  const text = await words("/metrics");
  const resident = /^weir_memory_resident_bytes (\d+)/m.exec(text);
  if (resident) memory.add(Number(resident[1]));
}

function tick() {
  if (state === null || document.hidden) return;
  speed.add(counted);
  counted = 0;
}

// ---- the beginning --------------------------------------------------------------------------------

function bind() {
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    if (answering === null) attempt(send);
  });
  $("say").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      $("composer").requestSubmit();
    }
  });
  $("stop").addEventListener("click", () => answering?.abort());
  $("ask").addEventListener("click", () => attempt(ask));
  $("stream").addEventListener("change", () => attempt(() => list($("stream").value)));
  $("new").addEventListener("click", () => $("create").showModal());
  $("create").addEventListener("close", () => {
    if ($("create").returnValue === "create") attempt(create);
    $("create").returnValue = "";
  });
  $("fork").addEventListener("click", () => attempt(async () => {
    const past = transcript.pieces.map(({ kind, text, first, end }) => [kind, text, first, end]);
    await list((await call("POST", path("/fork"))).id);
    transcript.clear();
    for (const piece of past) transcript.add(...piece);
    transcript.see(state.sinks, state.oldest);
    say("a fork: both go on from here, each by itself");
  }));
  $("remove").addEventListener("click", () => attempt(async () => {
    if (!confirm(`Delete the stream ${state.id}?`)) return;
    hearing?.abort();
    await call("DELETE", path());
    state = null;
    await list();
  }));
  $("mark").addEventListener("click", () => attempt(async () => {
    show(await call("POST", path("/marks"), { name: new Date().toLocaleTimeString("en-GB") }));
  }));
  $("back").addEventListener("click", () => attempt(async () => {
    show(await call("POST", path("/rewind"), { mark: $("marks").value }));
    transcript.cut(state.index);
  }));
}

function askForKey() {
  const dialog = $("unlock");
  return new Promise((done) => {
    dialog.addEventListener("close", () => done($("key").value === "" ? null : $("key").value),
                            { once: true });
    dialog.showModal();
  });
}

onLocked(askForKey);
bind();
attempt(async () => {
  const model = (await call("GET", "/v1/models")).data[0];
  $("model").textContent = `${model.id}, ${(model.parameters / 1e6).toLocaleString("en",
    { maximumFractionDigits: 1 })} million parameters`;
  await list();
  await measure();
});
setInterval(tick, 1000);
setInterval(() => { if (!document.hidden && state !== null) measure().catch(() => {}); }, 5000);
