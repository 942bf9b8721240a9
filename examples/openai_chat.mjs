// OpenAI's own client for JavaScript (npm install openai) with `weir serve`.
// WEIR_URL is where the server listens, WEIR_KEY a key of it, if it wants one.
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: `${process.env.WEIR_URL ?? "http://127.0.0.1:8080"}/v1`,
  apiKey: process.env.WEIR_KEY ?? "none",
  maxRetries: 2, // a server without room says when to come back, and the client does
});
const model = (await client.models.list()).data[0].id;
const messages = [
  { role: "system", content: "You tell stories." },
  { role: "user", content: "Tell me about a bear." },
];
const show = (name, value) => console.log(`${name}: ${String(value).trim().split(/\s+/).join(" ")}`);

// A chat, whole; `weir` says how much of it the stream has forgotten.
const asked = { model, messages, max_tokens: 40, temperature: 0, seed: 1 };
const whole = await client.chat.completions.create(asked);
show("model", model);
show("whole", whole.choices[0].message.content);
show("forgotten", whole.weir.forgotten_tokens);

// The same in pieces, with what it used.
let pieces = "", usage = null;
for await (const chunk of await client.chat.completions.create({
  ...asked, stream: true, stream_options: { include_usage: true },
})) {
  pieces += chunk.choices[0]?.delta.content ?? "";
  usage = chunk.usage ?? usage;
}
show("pieces", pieces);
show("used", usage.completion_tokens);

// A text that goes on, and vectors.
const more = await client.completions.create({ model, prompt: "Once upon a time", max_tokens: 20 });
show("completion", more.usage.completion_tokens);
const vectors = (await client.embeddings.create({ model, input: ["a mill", "a weir"] })).data;
show("vectors", vectors.length);
show("length", Number(Math.hypot(...vectors[0].embedding).toFixed(3)));

// A conversation that stays on the server: only what is new is sent, for ever.
const stream = await client.post("/streams", { body: { chat_system: "You tell stories." } });
for (const word of ["bear", "fox"]) {
  const said = await client.chat.completions.create({
    model, messages: [{ role: "user", content: `Tell me about a ${word}.` }],
    max_tokens: 40, temperature: 0, stream_id: stream.id,
  });
  show(word, said.weir.index);
}
await client.delete(`/streams/${stream.id}`);

// What is refused has the client's own types.
const refused = async (name, work) => {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    show(name, `${error.constructor.name} ${error.status} ${error.code}`);
  }
};
const chat = (change) => () => client.chat.completions.create({ ...asked, ...change });
await refused("no such model", chat({ model: "none" }));
await refused("no such field", chat({ no_such_field: 1 }));
await refused("not supported", chat({ response_format: { type: "json_object" } }));
if (process.env.WEIR_KEY) {
  await refused("wrong key", () => client.withOptions({ apiKey: "wrong" }).models.list());
}
