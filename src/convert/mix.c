/* The table of mixes: see mix.h. */
#include "convert/mix.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef enum mix_part { EMBEDDING, OUTPUT, VALUE, KEY, ATTENDED, DOWN, OTHER, KEPT } mix_part;

/* When a rule holds. */
typedef enum mix_time {
    ALWAYS,
    MANY,    /* in the first and last eighth of the layers, and every third between */
    FIRST_2, /* layers */
    FIRST_4,
    EIGHTH, /* the first eighth of the layers */
    SIXTEENTH,
    GROUPED, /* four query heads or more share a key */
    EIGHT    /* experts */
} mix_time;

typedef enum mix_kind { ALL, FALCON, OTHERS } mix_kind;

typedef struct rule {
    mix_part part;
    mix_time when;
    mix_kind who;
    wr_format format;
} rule;

#define RULES 12
struct wr_mix {
    const char *name;
    wr_format base;
    int64_t file_type;
    rule rules[RULES]; /* the first that holds counts; ends with format F32 */
};

#define NO_MORE                                                                                    \
    { OTHER, ALWAYS, ALL, WR_F32 }
#define EIGHT_EXPERTS                                                                              \
    {VALUE, EIGHT, ALL, WR_Q8_0}, { KEY, EIGHT, ALL, WR_Q8_0 }
#define EXPERTS_OUT                                                                                \
    { ATTENDED, EIGHT, OTHERS, WR_Q5_K }

static const wr_mix mixes[] = {
    {"F32", WR_F32, 0, {NO_MORE}},
    {"F16", WR_F16, 1, {NO_MORE}},
    {"BF16", WR_BF16, 32, {NO_MORE}},
    {"Q8_0", WR_Q8_0, 7, {NO_MORE}},
    {"Q4_0", WR_Q4_0, 2, {EIGHT_EXPERTS, NO_MORE}},
    {"Q4_1", WR_Q4_1, 3, {EIGHT_EXPERTS, NO_MORE}},
    {"Q5_0", WR_Q5_0, 8, {EIGHT_EXPERTS, NO_MORE}},
    {"Q5_1", WR_Q5_1, 9, {EIGHT_EXPERTS, NO_MORE}},
    {"Q2_K",
     WR_Q2_K,
     10,
     {EIGHT_EXPERTS,
      EXPERTS_OUT,
      {VALUE, GROUPED, ALL, WR_Q4_K},
      {VALUE, ALWAYS, ALL, WR_Q3_K},
      {DOWN, ALWAYS, ALL, WR_Q3_K},
      {ATTENDED, ALWAYS, OTHERS, WR_Q3_K},
      NO_MORE}},
    {"Q3_K_S", WR_Q3_K, 11, {EIGHT_EXPERTS, EXPERTS_OUT, NO_MORE}},
    {"Q3_K_M",
     WR_Q3_K,
     12,
     {EIGHT_EXPERTS,
      EXPERTS_OUT,
      {VALUE, FIRST_2, ALL, WR_Q5_K},
      {VALUE, ALWAYS, ALL, WR_Q4_K},
      {DOWN, SIXTEENTH, ALL, WR_Q5_K},
      {DOWN, ALWAYS, OTHERS, WR_Q4_K},
      {DOWN, MANY, FALCON, WR_Q4_K},
      {ATTENDED, ALWAYS, OTHERS, WR_Q4_K},
      NO_MORE}},
    {"Q3_K_L",
     WR_Q3_K,
     13,
     {EIGHT_EXPERTS,
      {VALUE, ALWAYS, ALL, WR_Q5_K},
      {DOWN, ALWAYS, FALCON, WR_Q4_K},
      {DOWN, ALWAYS, OTHERS, WR_Q5_K},
      {ATTENDED, ALWAYS, FALCON, WR_Q4_K},
      {ATTENDED, EIGHT, OTHERS, WR_Q3_K},
      {ATTENDED, ALWAYS, OTHERS, WR_Q5_K},
      NO_MORE}},
    {"Q4_K_S",
     WR_Q4_K,
     14,
     {EIGHT_EXPERTS,
      EXPERTS_OUT,
      {VALUE, FIRST_4, ALL, WR_Q5_K},
      {DOWN, EIGHTH, OTHERS, WR_Q5_K},
      NO_MORE}},
    {"Q4_K_M",
     WR_Q4_K,
     15,
     {EIGHT_EXPERTS,
      EXPERTS_OUT,
      {VALUE, MANY, ALL, WR_Q6_K},
      {DOWN, MANY, OTHERS, WR_Q6_K},
      {DOWN, SIXTEENTH, FALCON, WR_Q6_K},
      {DOWN, MANY, FALCON, WR_Q5_K},
      NO_MORE}},
    {"Q5_K_S", WR_Q5_K, 16, {EIGHT_EXPERTS, NO_MORE}},
    {"Q5_K_M",
     WR_Q5_K,
     17,
     {EIGHT_EXPERTS, {VALUE, MANY, ALL, WR_Q6_K}, {DOWN, MANY, ALL, WR_Q6_K}, NO_MORE}},
    {"Q6_K", WR_Q6_K, 18, {EIGHT_EXPERTS, NO_MORE}},
};
enum { MIXES = sizeof mixes / sizeof mixes[0] };

const wr_mix *wr_mix_find(const char *name) {
    if (strcasecmp(name, "Q4_K") == 0 || strcasecmp(name, "Q5_K") == 0 ||
        strcasecmp(name, "Q3_K") == 0)
        return wr_mix_find(strcasecmp(name, "Q4_K") == 0   ? "Q4_K_M"
                           : strcasecmp(name, "Q5_K") == 0 ? "Q5_K_M"
                                                           : "Q3_K_M");
    for (int i = 0; i < MIXES; i++)
        if (strcasecmp(mixes[i].name, name) == 0) return &mixes[i];
    return NULL;
}

const char *wr_mix_names(void) {
    return "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K_S, Q3_K_M, Q3_K_L, Q4_K_S, "
           "Q4_K_M, Q5_K_S, Q5_K_M, Q6_K";
}

int64_t wr_mix_file_type(const wr_mix *mix) { return mix->file_type; }

/* ---- tensors -----------------------------------------------------------------------------------
 */

static bool holds(wr_string name, const char *text) {
    return memmem(name.data, name.size, text, strlen(text)) != NULL;
}

static bool ends(wr_string name, const char *text) {
    const size_t size = strlen(text);
    return name.size >= size && memcmp(name.data + name.size - size, text, size) == 0;
}

static mix_part part_of(const wr_gguf_tensor *tensor, bool tied) {
    const wr_string name = tensor->name;
    if (tensor->dims < 2 || !ends(name, ".weight") || ends(name, "_norm.weight") ||
        ends(name, "ffn_gate_inp.weight") || ends(name, "position_embd.weight") ||
        ends(name, "token_types.weight"))
        return KEPT;
    if (wr_string_is(name, "output.weight")) return OUTPUT;
    if (wr_string_is(name, "token_embd.weight")) return tied ? OUTPUT : EMBEDDING;
    if (holds(name, "attn_v.") || holds(name, "attn_qkv.")) return VALUE;
    if (holds(name, "attn_k.")) return KEY;
    if (holds(name, "attn_output.")) return ATTENDED;
    return holds(name, "ffn_down") ? DOWN : OTHER;
}

/* N of "blk.N.", else 0. */
static int64_t layer_of(wr_string name) {
    if (name.size < 5 || memcmp(name.data, "blk.", 4) != 0) return 0;
    int64_t layer = 0;
    for (size_t i = 4; i < name.size && name.data[i] >= '0' && name.data[i] <= '9' && i < 12; i++)
        layer = layer * 10 + (name.data[i] - '0');
    return layer;
}

static bool is_now(mix_time when, const wr_mix_model *m, int64_t layer) {
    const int64_t eighth = m->layers / 8;
    switch (when) {
    case ALWAYS:
        return true;
    case MANY:
        return layer < eighth || layer >= 7 * m->layers / 8 || (layer - eighth) % 3 == 2;
    case FIRST_2:
        return layer < 2;
    case FIRST_4:
        return layer < 4;
    case EIGHTH:
        return layer < eighth;
    case SIXTEENTH:
        return layer < m->layers / 16;
    case GROUPED:
        return m->kv_heads > 0 && m->heads / m->kv_heads >= 4;
    case EIGHT:
        return m->experts == 8;
    }
    return false;
}

/* Values of the 70B Llama are shared by eight heads: an eighth of the size, and worth more bits. */
static wr_format for_large(const wr_mix_model *m, wr_format format) {
    const bool large = m->layers == 80 && m->kv_heads > 0 && m->heads / m->kv_heads == 8;
    return large && (format == WR_Q3_K || format == WR_Q4_K) ? WR_Q5_K : format;
}

static wr_format by_rules(const wr_mix *mix, const wr_mix_model *m, mix_part part, int64_t layer) {
    wr_format format = mix->base;
    for (const rule *r = mix->rules; r->format != WR_F32; r++) {
        if (r->part != part || !is_now(r->when, m, layer)) continue;
        if (r->who != ALL && (r->who == FALCON) != m->falcon) continue;
        format = r->format;
        break;
    }
    return part == VALUE ? for_large(m, format) : format;
}

/* What stands in where rows are no multiple of 256, or of 32. */
static wr_format fallback(wr_format format, int64_t columns) {
    static const struct {
        wr_format from, to;
    } others[] = {{WR_Q2_K, WR_Q4_0},
                  {WR_Q3_K, WR_Q4_0},
                  {WR_Q4_K, WR_Q5_0},
                  {WR_Q5_K, WR_Q5_1},
                  {WR_Q6_K, WR_Q8_0}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (format == others[i].from) format = others[i].to;
    return columns % wr_format_find((uint32_t)format)->block == 0 ? format : WR_F16;
}

wr_format wr_mix_choose(const wr_mix *mix, const wr_mix_model *model, const wr_gguf_tensor *tensor,
                        bool pure, bool *fell_back) {
    const mix_part part = part_of(tensor, model->tied);
    const int64_t columns = tensor->dim[0];
    const bool blocks = wr_format_find((uint32_t)mix->base)->block > 1;
    wr_format format = mix->base;
    *fell_back = false;
    if (part == KEPT) return tensor->format;
    if (blocks && part == OUTPUT && !pure && mix->base != WR_Q8_0) {
        /* A matrix that is read for every token, and the last word. */
        const int32_t block = wr_format_find((uint32_t)mix->base)->block;
        format = model->falcon || columns % block != 0 ? WR_Q8_0 : WR_Q6_K;
    } else if (blocks && part != EMBEDDING && !pure) {
        format = by_rules(mix, model, part, layer_of(tensor->name));
    }
    if (columns % wr_format_find((uint32_t)format)->block == 0) return format;
    *fell_back = true;
    return fallback(format, columns);
}
