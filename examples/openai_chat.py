"""OpenAI's own client for Python (pip install openai) with `weir serve`.

WEIR_URL is where the server listens, WEIR_KEY a key of it, if it wants one.
"""

import os

import openai

client = openai.OpenAI(
    base_url=os.environ.get("WEIR_URL", "http://127.0.0.1:8080") + "/v1",
    api_key=os.environ.get("WEIR_KEY", "none"),
    max_retries=2,  # a server without room says when to come back, and the client does
)
model = client.models.list().data[0].id
messages = [
    {"role": "system", "content": "You tell stories."},
    {"role": "user", "content": "Tell me about a bear."},
]


def show(name, value):
    print(f"{name}: {' '.join(str(value).split())}")


# A chat, whole; `weir` says how much of it the stream has forgotten.
asked = {"model": model, "messages": messages, "max_tokens": 40, "temperature": 0, "seed": 1}
whole = client.chat.completions.create(**asked)
show("model", model)
show("whole", whole.choices[0].message.content)
show("forgotten", whole.model_extra["weir"]["forgotten_tokens"])

# The same in pieces, with what it used.
pieces, usage = "", None
for chunk in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
    if chunk.choices:
        pieces += chunk.choices[0].delta.content or ""
    usage = chunk.usage or usage
show("pieces", pieces)
show("used", usage.completion_tokens)

# A text that goes on, and vectors.
show("completion", client.completions.create(model=model, prompt="Once upon a time", max_tokens=20).usage.completion_tokens)
vectors = client.embeddings.create(model=model, input=["a mill", "a weir"]).data
show("vectors", len(vectors))
show("length", round(sum(x * x for x in vectors[0].embedding) ** 0.5, 3))

# A conversation that stays on the server: only what is new is sent, for ever.
stream = client.post("/streams", cast_to=object, body={"chat_system": "You tell stories."})
for word in ("bear", "fox"):
    said = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": f"Tell me about a {word}."}],
        max_tokens=40,
        temperature=0,
        extra_body={"stream_id": stream["id"]},
    )
    show(word, said.model_extra["weir"]["index"])
client.delete(f"/streams/{stream['id']}", cast_to=object)

# What is refused has the client's own types.
for name, change in (
    ("no such model", {"model": "none"}),
    ("no such field", {"extra_body": {"no_such_field": 1}}),
    ("not supported", {"response_format": {"type": "json_object"}}),
):
    try:
        client.chat.completions.create(**{**asked, **change})
    except openai.APIStatusError as error:
        show(name, f"{type(error).__name__} {error.status_code} {error.code}")
if "WEIR_KEY" in os.environ:
    try:
        client.with_options(api_key="wrong").models.list()
    except openai.AuthenticationError as error:
        show("wrong key", f"{type(error).__name__} {error.status_code} {error.code}")
