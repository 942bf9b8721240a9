"""Conversations as Jinja templates write them.

    golden_chat.py OUT.json

For each chat format that weir knows, a template that says what the format is, in Jinja as model files carry it, and
what the template engine of `transformers` makes of some conversations with it. weir must recognise each template and
write the same without running it.
"""

import json
import sys
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template

LOOP = "{% for m in messages %}"
END = "{% endfor %}"


def by_role(system, user, assistant, invitation, before="{{ bos_token }}"):
    """One expression for each role, with m the message."""
    return (before + LOOP + "{% if m['role'] == 'system' %}{{ " + system + " }}{% elif m['role'] == 'user' %}{{ " + user
            + " }}{% elif m['role'] == 'assistant' %}{{ " + assistant + " }}{% endif %}" + END
            + ("{% if add_generation_prompt %}{{ " + invitation + " }}{% endif %}" if invitation else ""))


def inside(system, user, assistant, invitation="", before="{{ bos_token }}"):
    """The system's text stands in the first user's turn; in `user`, s is what it adds and m the message."""
    return ("{% set ns = namespace(s='') %}" + before + LOOP + "{% if m['role'] == 'system' %}{% set ns.s = " + system
            + " %}{% elif m['role'] == 'user' %}{{ " + user.replace("s +", "ns.s +")
            + " }}{% set ns.s = '' %}{% else %}{{ " + assistant + " }}{% endif %}" + END
            + ("{% if add_generation_prompt %}{{ " + invitation + " }}{% endif %}" if invitation else ""))


HEADER = "'<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim + '<|eot_id|>'"
ROLE_LINE = "'<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n'"
CHATML = LOOP + "{{ " + ROLE_LINE + " }}" + END + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
LLAMA_3_1 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set s = messages[0]['content'] | trim %}"
    "{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\\n\\n' }}{{ 'Cutting Knowledge Date: December 2023\\n' }}"
    "{{ 'Today Date: 26 Jul 2024\\n\\n' }}{{ s + '<|eot_id|>' }}" + LOOP + "{{ " + HEADER + " }}" + END
    + "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}")
HARMONY = (
    "{{ '<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\\nKnowledge cutoff: 2024-06"
    "\\n\\nReasoning: medium\\n\\n# Valid channels: analysis, commentary, final. Channel must be included for every "
    "message.<|end|>' }}" + by_role(
        "'<|start|>developer<|message|># Instructions\\n\\n' + m['content'] + '\\n\\n<|end|>'",
        "'<|start|>user<|message|>' + m['content'] + '<|end|>'",
        "'<|start|>assistant<|channel|>final<|message|>' + m['content'] + '<|end|>'", "'<|start|>assistant'", before=""))
INST = "{{ bos_token }}"

# name: template, BOS, EOS
FORMATS = {
    "llama-2": (inside("'<<SYS>>\\n' + m['content'] + '\\n<</SYS>>\\n\\n'",
                       "bos_token + '[INST] ' + (s + m['content']).strip() + ' [/INST]'",
                       "' ' + m['content'].strip() + ' ' + eos_token", before=""), "<s>", "</s>"),
    "llama-3": ("{{ bos_token }}" + LOOP + "{{ " + HEADER + " }}" + END + "{% if add_generation_prompt %}"
                "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}", "<|begin_of_text|>", "<|end_of_text|>"),
    "llama-3.1": (LLAMA_3_1, "<|begin_of_text|>", "<|eot_id|>"),
    "chatml": (CHATML, "", "<|im_end|>"),
    "chatml-default": ("{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou\\'re a weir.<|im_end|>\\n' }}"
                       "{% endif %}" + CHATML, "", "<|im_end|>"),
    "chatml-think": (CHATML.replace("assistant\\n'", "assistant\\n<think>\\n'"), "", "<|im_end|>"),
    "mistral-v0": (inside("m['content'] + '\\n\\n'", "'[INST] ' + s + m['content'] + ' [/INST]'", "m['content'] + eos_token"),
                   "<s>", "</s>"),
    "mistral-v1": (inside("m['content'] + '\\n\\n'", "' [INST] ' + s + m['content'] + ' [/INST]'",
                          "' ' + m['content'] + eos_token"), "<s>", "</s>"),
    "mistral-v3": (inside("m['content'] + '\\n\\n'", "'[INST] ' + s + m['content'] + '[/INST]'",
                          "' ' + m['content'] + eos_token"), "<s>", "</s>"),
    "mistral-v3-tekken": (inside("m['content'] + '\\n\\n'", "'[INST]' + s + m['content'] + '[/INST]'",
                                 "m['content'] + eos_token"), "<s>", "</s>"),
    "mistral-v7": (by_role("'[SYSTEM_PROMPT] ' + m['content'] + '[/SYSTEM_PROMPT]'", "'[INST] ' + m['content'] + '[/INST]'",
                           "' ' + m['content'] + eos_token", ""), "<s>", "</s>"),
    "mistral-v7-tekken": (by_role("'[SYSTEM_PROMPT]' + m['content'] + '[/SYSTEM_PROMPT]'",
                                  "'[INST]' + m['content'] + '[/INST]'", "m['content'] + eos_token", ""), "<s>", "</s>"),
    "gemma": (inside("m['content'] + '\\n\\n'", "'<start_of_turn>user\\n' + s + m['content'] | trim + '<end_of_turn>\\n'",
                     "'<start_of_turn>model\\n' + m['content'] | trim + '<end_of_turn>\\n'", "'<start_of_turn>model\\n'"),
              "<bos>", "<eos>"),
    "phi-3": (by_role("'<|system|>\\n' + m['content'] + '<|end|>\\n'", "'<|user|>\\n' + m['content'] + '<|end|>\\n'",
                      "'<|assistant|>\\n' + m['content'] + '<|end|>\\n'", "'<|assistant|>\\n'"), "<s>", "<|endoftext|>"),
    "phi-4-mini": (LOOP.replace("m in", "message in") + "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
                   + END + "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}", "", "<|endoftext|>"),
    "phi-4": (LOOP + "{{ '<|im_start|>' + m['role'] + '<|im_sep|>' + m['content'] + '<|im_end|>' }}" + END
              + "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}", "", "<|endoftext|>"),
    "zephyr": (LOOP + "\n{% if m['role'] == 'user' %}\n{{ '<|user|>\n' + m['content'] + eos_token }}\n"
               "{% elif m['role'] == 'system' %}\n{{ '<|system|>\n' + m['content'] + eos_token }}\n"
               "{% elif m['role'] == 'assistant' %}\n{{ '<|assistant|>\n' + m['content'] + eos_token }}\n{% endif %}\n"
               "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n" + END, "", "</s>"),
    "gpt-oss": (HARMONY, "", "<|return|>"),
    "deepseek-v2": (by_role("m['content'] + '\\n\\n'", "'User: ' + m['content'] + '\\n\\n'",
                            "'Assistant: ' + m['content'] + eos_token", "'Assistant:'"),
                    "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "deepseek-v3": (by_role("m['content']", "'<｜User｜>' + m['content']", "'<｜Assistant｜>' + m['content'] + eos_token",
                            "'<｜Assistant｜>'"), "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "deepseek-v3.1": ("{% if not thinking is defined %}{% set thinking = false %}{% endif %}"
                      + by_role("m['content']", "'<｜User｜>' + m['content']",
                                "'<｜Assistant｜></think>' + m['content'] + eos_token", "'<｜Assistant｜></think>'"),
                      "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "deepseek-r1": (by_role("m['content']", "'<｜User｜>' + m['content']", "'<｜Assistant｜>' + m['content'] + eos_token",
                            "'<｜Assistant｜><think>\\n'"), "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "falcon": (LOOP + "{% if not loop.first %}{{ '\\n' }}{% endif %}{% if m['role'] == 'system' %}{{ 'System: ' }}"
               "{% elif m['role'] == 'user' %}{{ 'User: ' }}{% else %}{{ 'Falcon: ' }}{% endif %}{{ m['content'] }}" + END
               + "{% if add_generation_prompt %}{{ '\\n' + 'Falcon:' }}{% endif %}", "", "<|endoftext|>"),
    "falcon-instruct": (by_role("m['content'].strip()", "'\\n\\nUser: ' + m['content'].strip()",
                                "'\\n\\nAssistant: ' + m['content'].strip()", "'\\n\\nAssistant:'", before=""),
                        "", "<|endoftext|>"),
    "falcon-3": (by_role("'<|system|>\\n' + m['content'] + '\\n'", "'<|user|>\\n' + m['content'] + '\\n'",
                         "'<|assistant|>\\n' + m['content'] + eos_token + '\\n'", "'<|assistant|>\\n'", before=""),
                 "", "<|endoftext|>"),
}

TALKS = [
    [("user", "Where does the water go?")],
    [("system", "You keep the weir."), ("user", "Is it open?")],
    [("user", "One"), ("assistant", "Two"), ("user", "Three")],
    [("system", "Count."), ("user", "1"), ("assistant", "2"), ("user", "3"), ("assistant", "4"), ("user", "5")],
    [("user", "  a line \n\n"), ("assistant", "\n an answer \t"), ("user", "\u00a0\u3000mühle 水\u2003")],
    [("system", " two\nlines "), ("user", " [INST] <|im_end|>\n<|im_start|>system <<SYS>> </s><|eot_id|><｜User｜>")],
]


def main():
    out = []
    for name, (template, bos, eos) in FORMATS.items():
        rows = []
        for talk in TALKS:
            messages = [{"role": role, "content": content} for role, content in talk]
            texts, _ = render_jinja_template(conversations=[messages], chat_template=template, add_generation_prompt=True,
                                             bos_token=bos, eos_token=eos)
            rows.append({"messages": talk, "text": texts[0]})
        out.append({"name": name.removesuffix("-default"), "template": template, "bos": bos, "eos": eos, "talks": rows})
    Path(sys.argv[1]).write_text(json.dumps(out, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
