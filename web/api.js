// Requests to the server: JSON, and server-sent events read from a fetch (an EventSource cannot
// carry a key).

export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let unlock = async () => null;

// `ask` is called when the server wants a key; it answers with one, or null.
export function onLocked(ask) { unlock = ask; }

function headers(body) {
  const key = sessionStorage.getItem("weir-key");
  return {
    ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    ...(key ? { Authorization: `Bearer ${key}` } : {}),
  };
}

async function refusalOf(response) {
  let message = `${response.status} ${response.statusText}`;
  try {
    message = (await response.json()).error.message;
  } catch { /* the words of the status then */ }
  return new Refusal(response.status, message);
}

async function send(method, path, body, signal) {
  for (;;) {
    const response = await fetch(path, {
      method,
      signal,
      cache: "no-store",
      headers: headers(body),
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (response.ok) return response;
    const refusal = await refusalOf(response);
    if (response.status !== 401) throw refusal;
    const key = await unlock();
    if (key === null) throw refusal;
    sessionStorage.setItem("weir-key", key);
  }
}

export async function call(method, path, body) {
  return (await send(method, path, body)).json();
}

export async function words(path) {
  return (await send("GET", path)).text();
}

// Lines of one event to {name, data}; comments are nothing.
function parseEvent(block) {
  let name = "message";
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length === 0 ? null : { name, data: data.join("\n") };
}

// Calls `heard(name, object)` for every event until the server ends them or `signal` aborts.
export async function listen(method, path, body, signal, heard) {
  const response = await send(method, path, body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const event = parseEvent(block);
      if (event !== null && event.data !== "[DONE]") heard(event.name, JSON.parse(event.data));
    }
  }
}
