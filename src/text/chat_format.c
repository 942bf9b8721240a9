/* The chat formats that weir knows. Each row was compared with what the template itself writes
 * (tools/reference/golden_chat.py). */
#include "text/chat_format.h"

#include <string.h>

#define BOS WR_CHAT_BOS
#define EOS WR_CHAT_EOS
#define TEXT WR_CHAT_TEXT
#define BORDER WR_CHAT_BORDER

/* A border stands before the white space that ends an opening: there no tokenizer joins anything,
 * while the white space itself may belong to the first token of the text. */
const wr_chat_format wr_chat_rows[] = {
    {.name = "llama-2",
     .system = "<<SYS>>\n" TEXT "\n<</SYS>>\n\n",
     .user = BOS "[INST]" BORDER " " TEXT " [/INST]",
     .assistant = " " TEXT " " EOS,
     .trim = WR_TRIM_TURN,
     .bos = true,
     .system_inside = true},
    {.name = "llama-3",
     .system = "<|start_header_id|>system<|end_header_id|>\n\n" TEXT "<|eot_id|>",
     .user = "<|start_header_id|>user<|end_header_id|>" BORDER "\n\n" TEXT "<|eot_id|>",
     .assistant = "<|start_header_id|>assistant<|end_header_id|>\n\n" TEXT "<|eot_id|>",
     .invitation = "<|start_header_id|>assistant<|end_header_id|>\n\n",
     .end = "<|eot_id|>",
     .trim = WR_TRIM_ALL,
     .bos = true},
    {.name = "llama-3.1",
     .system = "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December "
               "2023\nToday Date: 26 Jul 2024\n\n" TEXT "<|eot_id|>",
     .user = "<|start_header_id|>user<|end_header_id|>" BORDER "\n\n" TEXT "<|eot_id|>",
     .assistant = "<|start_header_id|>assistant<|end_header_id|>\n\n" TEXT "<|eot_id|>",
     .invitation = "<|start_header_id|>assistant<|end_header_id|>\n\n",
     .end = "<|eot_id|>",
     .default_system = "",
     .trim = WR_TRIM_ALL,
     .bos = true},
    {.name = "chatml",
     .system = "<|im_start|>system\n" TEXT "<|im_end|>\n",
     .user = "<|im_start|>user" BORDER "\n" TEXT "<|im_end|>\n",
     .assistant = "<|im_start|>assistant\n" TEXT "<|im_end|>\n",
     .invitation = "<|im_start|>assistant\n",
     .end = "<|im_end|>"},
    {.name = "chatml-think", /* thoughts come first */
     .system = "<|im_start|>system\n" TEXT "<|im_end|>\n",
     .user = "<|im_start|>user" BORDER "\n" TEXT "<|im_end|>\n",
     .assistant = "<|im_start|>assistant\n" TEXT "<|im_end|>\n",
     .invitation = "<|im_start|>assistant\n<think>\n",
     .end = "<|im_end|>"},
    {.name = "mistral-v0",
     .system = TEXT "\n\n",
     .user = "[INST]" BORDER " " TEXT " [/INST]",
     .assistant = TEXT EOS,
     .bos = true,
     .system_inside = true},
    {.name = "mistral-v1",
     .system = TEXT "\n\n",
     .user = " [INST]" BORDER " " TEXT " [/INST]",
     .assistant = " " TEXT EOS,
     .bos = true,
     .system_inside = true},
    {.name = "mistral-v3",
     .system = TEXT "\n\n",
     .user = "[INST]" BORDER " " TEXT "[/INST]",
     .assistant = " " TEXT EOS,
     .bos = true,
     .system_inside = true},
    {.name = "mistral-v3-tekken",
     .system = TEXT "\n\n",
     .user = "[INST]" BORDER TEXT "[/INST]",
     .assistant = TEXT EOS,
     .bos = true,
     .system_inside = true},
    {.name = "mistral-v7",
     .system = "[SYSTEM_PROMPT] " TEXT "[/SYSTEM_PROMPT]",
     .user = "[INST]" BORDER " " TEXT "[/INST]",
     .assistant = " " TEXT EOS,
     .bos = true},
    {.name = "mistral-v7-tekken",
     .system = "[SYSTEM_PROMPT]" TEXT "[/SYSTEM_PROMPT]",
     .user = "[INST]" BORDER TEXT "[/INST]",
     .assistant = TEXT EOS,
     .bos = true},
    {.name = "gemma",
     .system = TEXT "\n\n",
     .user = "<start_of_turn>user\n" BORDER TEXT "<end_of_turn>\n",
     .assistant = "<start_of_turn>model\n" TEXT "<end_of_turn>\n",
     .invitation = "<start_of_turn>model\n",
     .end = "<end_of_turn>",
     .trim = WR_TRIM_TEXT,
     .bos = true,
     .system_inside = true},
    {.name = "phi-3",
     .system = "<|system|>\n" TEXT "<|end|>\n",
     .user = "<|user|>" BORDER "\n" TEXT "<|end|>\n",
     .assistant = "<|assistant|>\n" TEXT "<|end|>\n",
     .invitation = "<|assistant|>\n",
     .end = "<|end|>",
     .swallows = true},
    {.name = "phi-4-mini",
     .system = "<|system|>" TEXT "<|end|>",
     .user = "<|user|>" BORDER TEXT "<|end|>",
     .assistant = "<|assistant|>" TEXT "<|end|>",
     .invitation = "<|assistant|>",
     .end = "<|end|>"},
    {.name = "phi-4",
     .system = "<|im_start|>system<|im_sep|>" TEXT "<|im_end|>",
     .user = "<|im_start|>user<|im_sep|>" BORDER TEXT "<|im_end|>",
     .assistant = "<|im_start|>assistant<|im_sep|>" TEXT "<|im_end|>",
     .invitation = "<|im_start|>assistant<|im_sep|>",
     .end = "<|im_end|>"},
    {.name = "zephyr",
     .system = "<|system|>\n" TEXT EOS "\n",
     .user = "<|user|>" BORDER "\n" TEXT EOS "\n",
     .assistant = "<|assistant|>\n" TEXT EOS "\n",
     .invitation = "<|assistant|>\n"},
    {.name = "gpt-oss",
     .begin = "<|start|>system<|message|>You are ChatGPT, a large language model trained by "
              "OpenAI.\nKnowledge cutoff: 2024-06\n\nReasoning: medium\n\n# Valid channels: "
              "analysis, commentary, final. Channel must be included for every message.<|end|>",
     .system = "<|start|>developer<|message|># Instructions\n\n" TEXT "\n\n<|end|>",
     .user = "<|start|>user<|message|>" BORDER TEXT "<|end|>",
     .assistant = "<|start|>assistant<|channel|>final<|message|>" TEXT "<|end|>",
     .invitation = "<|start|>assistant",
     .end = "<|return|>",
     .channels = true},
    {.name = "deepseek-v2",
     .system = TEXT "\n\n",
     .user = "User:" BORDER " " TEXT "\n\n",
     .assistant = "Assistant: " TEXT EOS,
     .invitation = "Assistant:",
     .bos = true},
    {.name = "deepseek-v3",
     .system = TEXT,
     .user = "<｜User｜>" BORDER TEXT,
     .assistant = "<｜Assistant｜>" TEXT EOS,
     .invitation = "<｜Assistant｜>",
     .bos = true},
    {.name = "deepseek-v3.1",
     .system = TEXT,
     .user = "<｜User｜>" BORDER TEXT,
     .assistant = "<｜Assistant｜></think>" TEXT EOS,
     .invitation = "<｜Assistant｜></think>",
     .bos = true},
    {.name = "deepseek-r1",
     .system = TEXT,
     .user = "<｜User｜>" BORDER TEXT,
     .assistant = "<｜Assistant｜>" TEXT EOS,
     .invitation = "<｜Assistant｜><think>\n",
     .bos = true},
    {.name = "falcon",
     .system = "System: " TEXT,
     .user = "User:" BORDER " " TEXT,
     .assistant = "Falcon: " TEXT,
     .invitation = "Falcon:",
     .separator = "\n",
     .stop = "\nUser:"},
    {.name = "falcon-instruct",
     .system = TEXT,
     .user = "\n\nUser:" BORDER " " TEXT,
     .assistant = "\n\nAssistant: " TEXT,
     .invitation = "\n\nAssistant:",
     .stop = "\n\nUser:",
     .trim = WR_TRIM_ALL},
    {.name = "falcon-3",
     .system = "<|system|>\n" TEXT "\n",
     .user = "<|user|>" BORDER "\n" TEXT "\n",
     .assistant = "<|assistant|>\n" TEXT EOS "\n",
     .invitation = "<|assistant|>\n"},
    /* No format at all: for models that were never taught one. */
    {.name = "plain", .system = TEXT "\n", .user = TEXT, .assistant = TEXT "\n"},
    {.name = NULL},
};

const wr_chat_format *wr_chat_format_named(wr_string name) {
    for (const wr_chat_format *row = wr_chat_rows; row->name; row++)
        if (wr_string_is(name, row->name)) return row;
    return NULL;
}

/* ---- recognising ----------------------------------------------------------------------------- */

static const char *find(wr_string text, const char *what) {
    return text.size > 0 ? memmem(text.data, text.size, what, strlen(what)) : NULL;
}

/* Whether `what` stands behind the first `after` and before the `until` that follows it. */
static bool follows(wr_string text, const char *after, const char *what, const char *until) {
    const char *from = find(text, after);
    if (!from) return false;
    from += strlen(after);
    wr_string rest = {from, text.size - (size_t)(from - text.data)};
    const char *end = find(rest, until);
    if (end) rest.size = (size_t)(end - from);
    return find(rest, what) != NULL;
}

/* How one format is recognised: everything in `has` and nothing of `lacks`. */
typedef struct clue {
    const char *name;
    const char *has[3];
    const char *lacks[3];
    const char *follows[3]; /* after, what, until */
} clue;

/* The first that fits is it: special cases stand before what they are cases of. A new line in a
 * template is one, or a backslash and an n. */
static const clue clues[] = {
    {"gpt-oss", {"<|start|>", "<|channel|>", "<|message|>"}, {0}, {0}},
    {"phi-4", {"<|im_start|>", "<|im_sep|>"}, {0}, {0}},
    {"chatml-think", {"<|im_start|>assistant\\n<think>"}, {0}, {0}},
    {"chatml-think", {"<|im_start|>assistant\n<think>"}, {0}, {0}},
    {"chatml", {"<|im_start|>"}, {"<end_of_utterance>"}, {0}},
    {"mistral-v7", {"[SYSTEM_PROMPT] ", "[INST]"}, {0}, {0}},
    {"mistral-v7-tekken", {"[SYSTEM_PROMPT]", "[INST]"}, {0}, {0}},
    {"llama-2", {"[INST]", "<<SYS>>"}, {0}, {0}},
    {"llama-2", {"bos_token + '[INST]"}, {0}, {0}},
    {"mistral-v1", {"' [INST]"}, {0}, {0}},
    {"mistral-v1", {"\" [INST]"}, {0}, {0}},
    {"mistral-v0", {"[INST] ", "' [/INST]"}, {0}, {0}},
    {"mistral-v0", {"[INST] ", "\" [/INST]"}, {0}, {0}},
    {"mistral-v3-tekken", {"[INST]'"}, {"[INST] "}, {0}},
    {"mistral-v3-tekken", {"[INST]\""}, {"[INST] "}, {0}},
    {"mistral-v3", {"[INST] ", "[/INST]"}, {0}, {0}},
    {"llama-3.1", {"<|start_header_id|>", "Cutting Knowledge Date: ", "Today Date: "}, {0}, {0}},
    {"llama-3", {"<|start_header_id|>", "<|end_header_id|>"}, {">>>", "Cutting Know"}, {0}},
    {"gemma", {"<start_of_turn>"}, {0}, {0}},
    {"phi-4-mini", {"<|end|>", "'|>' + message['content']"}, {0}, {0}},
    {"phi-3", {"<|end|>", "<|assistant|>"}, {"<|begin|>", "\n<|end|>", "\\n<|end|>"}, {0}},
    {"zephyr", {"<|user|>", "<|assistant|>"}, {"[gMASK]"}, {"<|user|>", "eos_token", "}}"}},
    {"zephyr", {"<|user|>", "<|assistant|>"}, {"[gMASK]"}, {"<|user|>", "</s>", "}}"}},
    {"zephyr", {"<|user|>", "<|assistant|>"}, {"[gMASK]"}, {"<|user|>", "<|endoftext|>", "}}"}},
    {"falcon-3", {"<|user|>", "<|assistant|>", "eos_token"}, {"[gMASK]"}, {0}},
    {"deepseek-v3.1", {"<｜User｜>", "<｜Assistant｜>", "thinking is defined"}, {0}, {0}},
    {"deepseek-r1", {"<｜User｜>", "<｜Assistant｜><think>"}, {0}, {0}},
    {"deepseek-v3", {"<｜User｜>", "<｜Assistant｜>"}, {0}, {0}},
    {"falcon", {"Falcon:", "User:"}, {0}, {0}},
    {"deepseek-v2", {"'User: '", "'Assistant: '", "eos_token"}, {0}, {0}},
    {"falcon-instruct", {"\\n\\nUser: '", "\\n\\nAssistant: '"}, {"eos_token"}, {0}},
    {"falcon-instruct", {"\n\nUser: '", "\n\nAssistant: '"}, {"eos_token"}, {0}},
};

static bool fits(const clue *row, wr_string chat_template) {
    for (size_t i = 0; i < sizeof row->has / sizeof row->has[0] && row->has[i]; i++)
        if (!find(chat_template, row->has[i])) return false;
    for (size_t i = 0; i < sizeof row->lacks / sizeof row->lacks[0] && row->lacks[i]; i++)
        if (find(chat_template, row->lacks[i])) return false;
    return !row->follows[0] ||
           follows(chat_template, row->follows[0], row->follows[1], row->follows[2]);
}

const wr_chat_format *wr_chat_format_of(wr_string chat_template) {
    for (size_t i = 0; i < sizeof clues / sizeof clues[0]; i++)
        if (fits(&clues[i], chat_template))
            return wr_chat_format_named((wr_string){clues[i].name, strlen(clues[i].name)});
    return NULL;
}

bool wr_chat_writes_bos(wr_string chat_template) {
    return find(chat_template, "bos_token") != NULL;
}

/* ---- what a template says by itself ---------------------------------------------------------- */

/* Bytes of a literal from here to `end`, or 0 when something else comes before it. */
static size_t literal_size(wr_string text, const char *end) {
    size_t ending = strlen(end);
    for (size_t i = 0; i + ending <= text.size; i++) {
        if (memcmp(text.data + i, end, ending) == 0) return i;
        if (strchr("'\"{}", text.data[i]) && text.data[i] != '\0' &&
            (i == 0 || text.data[i - 1] != '\\'))
            return 0;
    }
    return 0;
}

wr_string wr_chat_default_system(wr_string chat_template) {
    static const char opening[] = "<|im_start|>system";
    wr_string rest = chat_template;
    for (const char *at; (at = find(rest, opening)) != NULL;) {
        at += sizeof opening - 1;
        rest = (wr_string){at, chat_template.size - (size_t)(at - chat_template.data)};
        size_t line = rest.size > 0 && at[0] == '\n'                   ? 1
                      : rest.size > 1 && at[0] == '\\' && at[1] == 'n' ? 2
                                                                       : 0;
        if (line == 0) continue;
        wr_string text = {at + line, rest.size - line};
        text.size = literal_size(text, "<|im_end|>");
        if (text.size > 0) return text;
    }
    return (wr_string){0};
}
