/* The families that weir runs: see family.h. */
#include "model/family.h"

#include <stdio.h>
#include <string.h>

/* What is not said is 0: RMSNorm before each half, one half after the other, SiLU without a gate,
 * no biases, every layer rotated by adjacent pairs. */
#define BEFORE .norms = WR_NORM_BEFORE

static const wr_family families[] = {
    {.name = "llama",
     BEFORE,
     .gated = true,
     .experts = WR_EXPERTS_MAY}, /* Llama, Mistral, SmolLM, TinyLlama ... */
    {.name = "weir",
     BEFORE,
     .gated = true, /* trained here, with what Llama has not: format.md */
     .sink_key = "attention.sink",
     .positions_key = "attention.positions"},
    {.name = "gptneox",
     BEFORE, /* GPT-NeoX, Pythia */
     .norm = WR_NORM_LAYER,
     .residual = WR_RESIDUAL_BY_KEY,
     .activation = WR_ACTIVATION_GELU,
     .biases = WR_BIAS_NORM | WR_BIAS_BLOCK,
     .fused = WR_FUSED_QKV,
     .pairing = WR_ROTARY_HALVES},
    {.name = "falcon",
     BEFORE, /* 7B; 40B and 180B, which have attn_norm_2 */
     .norm = WR_NORM_LAYER,
     .residual = WR_RESIDUAL_SHARED,
     .activation = WR_ACTIVATION_GELU,
     .biases = WR_BIAS_NORM,
     .fused = WR_FUSED_QKV,
     .pairing = WR_ROTARY_HALVES},
    {.name = "mpt",
     BEFORE,
     .norm = WR_NORM_LAYER,
     .activation = WR_ACTIVATION_GELU,
     .fused = WR_FUSED_QKV,
     .positions = WR_POSITIONS_ALIBI},
    {.name = "gpt2",
     BEFORE,
     .norm = WR_NORM_LAYER,
     .activation = WR_ACTIVATION_GELU_TANH,
     .biases = WR_BIAS_NORM | WR_BIAS_BLOCK,
     .fused = WR_FUSED_QKV,
     .positions = WR_POSITIONS_LEARNED},
    {.name = "stablelm",
     BEFORE, /* StableLM 3B, 2 1.6B; 2 12B, parallel with head norms */
     .norm = WR_NORM_LAYER,
     .residual = WR_RESIDUAL_BY_NORM,
     .head_norm = WR_HEAD_NORM_OWN,
     .gated = true,
     .biases = WR_BIAS_NORM,
     .pairing = WR_ROTARY_HALVES},
    {.name = "phi2",
     BEFORE, /* Phi-1, Phi-1.5, Phi-2 */
     .norm = WR_NORM_LAYER,
     .residual = WR_RESIDUAL_SHARED,
     .activation = WR_ACTIVATION_GELU_TANH,
     .biases = WR_BIAS_NORM | WR_BIAS_BLOCK | WR_BIAS_HEAD,
     .pairing = WR_ROTARY_HALVES},
    {.name = "phi3",
     BEFORE, /* Phi-3, Phi-3.5, Phi-4 */
     .gated = true,
     .fused = WR_FUSED_QKV | WR_FUSED_GATE_UP,
     .pairing = WR_ROTARY_HALVES},
    {.name = "qwen2", BEFORE, .gated = true, .biases = WR_BIAS_QKV, .pairing = WR_ROTARY_HALVES},
    {.name = "qwen3",
     BEFORE,
     .gated = true,
     .head_norm = WR_HEAD_NORM_SHARED,
     .pairing = WR_ROTARY_HALVES},
    {.name = "starcoder2",
     BEFORE,
     .norm = WR_NORM_LAYER,
     .activation = WR_ACTIVATION_GELU_TANH,
     .biases = WR_BIAS_NORM | WR_BIAS_BLOCK,
     .pairing = WR_ROTARY_HALVES},
    {.name = "olmo2", /* OLMo 2; OLMo 3, whose layers but every fourth have a window */
     .norms = WR_NORM_AFTER,
     .head_norm = WR_HEAD_NORM_WHOLE,
     .gated = true,
     .pairing = WR_ROTARY_HALVES,
     .global = 4,
     .local_base = WR_LOCAL_BASE_SAME},
    {.name = "smollm3", BEFORE, .gated = true, .unrotated = 4},
    {.name = "qwen3moe",
     BEFORE,
     .gated = true,
     .experts = WR_EXPERTS_ALWAYS,
     .head_norm = WR_HEAD_NORM_SHARED,
     .pairing = WR_ROTARY_HALVES},
    {.name = "gpt-oss",
     BEFORE,
     .norm_between = true,
     .activation = WR_ACTIVATION_CUT_SILU,
     .gated = true,
     .experts = WR_EXPERTS_ALWAYS,
     .biases = WR_BIAS_BLOCK,
     .sink = WR_SINK_TERM_LOGIT,
     .pairing = WR_ROTARY_HALVES,
     .broken_ramp = true,
     .global = 2},
    {.name = "gemma",
     BEFORE,
     .activation = WR_ACTIVATION_GELU_TANH,
     .gated = true,
     .scaled_embedding = true,
     .pairing = WR_ROTARY_HALVES},
    {.name = "gemma2",
     .norms = WR_NORM_BEFORE | WR_NORM_AFTER,
     .activation = WR_ACTIVATION_GELU_TANH,
     .gated = true,
     .scaled_embedding = true,
     .wide_layers = 46,
     .pairing = WR_ROTARY_HALVES,
     .global = 2,
     .window = 4096, /* these three are in newer files only */
     .attention_cap = 50,
     .final_cap = 30},
    {.name = "gemma3",
     .norms = WR_NORM_BEFORE | WR_NORM_AFTER,
     .activation = WR_ACTIVATION_GELU_TANH,
     .gated = true,
     .head_norm = WR_HEAD_NORM_SHARED,
     .scaled_embedding = true,
     .wide_layers = 62,
     .pairing = WR_ROTARY_HALVES,
     .global = 6,
     .local_base = 10000},
    {.name = "bert", /* BERT, MiniLM, E5, BGE ... */
     .encoder = true,
     .norms = WR_NORM_SUM,
     .norm = WR_NORM_LAYER,
     .activation = WR_ACTIVATION_GELU,
     .biases = WR_BIAS_NORM | WR_BIAS_BLOCK,
     .positions = WR_POSITIONS_LEARNED},
    {.name = "nomic-bert",
     .encoder = true,
     .norms = WR_NORM_SUM,
     .norm = WR_NORM_LAYER,
     .gated = true,
     .biases = WR_BIAS_NORM,
     .fused = WR_FUSED_QKV,
     .pairing = WR_ROTARY_HALVES},
};
enum { FAMILIES = sizeof families / sizeof families[0] };

const wr_family *wr_family_find(wr_string name) {
    for (int i = 0; i < FAMILIES; i++)
        if (wr_string_is(name, families[i].name)) return &families[i];
    return NULL;
}

const wr_family *wr_family_at(int i) { return i < FAMILIES ? &families[i] : NULL; }

const char *wr_family_names(char out[WR_FAMILY_NAMES]) {
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < FAMILIES && used < WR_FAMILY_NAMES; i++)
        used += (size_t)snprintf(out + used, WR_FAMILY_NAMES - used, "%s%s", i > 0 ? ", " : "",
                                 families[i].name);
    return out;
}

const char *wr_positions_name(wr_positions positions) {
    static const char *const names[] = {
        [WR_POSITIONS_ROPE] = "rope",
        [WR_POSITIONS_ALIBI] = "alibi",
        [WR_POSITIONS_LEARNED] = "learned",
    };
    return names[positions];
}

const wr_block_part_info wr_block_parts[WR_BLOCK_PARTS] = {
    [WR_ATTN_NORM] = {"attn_norm", WR_BIAS_NORM},
    [WR_ATTN_NORM_2] = {"attn_norm_2", WR_BIAS_NORM},
    [WR_ATTN_QKV] = {"attn_qkv", WR_BIAS_QKV},
    [WR_ATTN_Q] = {"attn_q", WR_BIAS_QKV},
    [WR_ATTN_K] = {"attn_k", WR_BIAS_QKV},
    [WR_ATTN_V] = {"attn_v", WR_BIAS_QKV},
    [WR_ATTN_Q_NORM] = {"attn_q_norm", 0},
    [WR_ATTN_K_NORM] = {"attn_k_norm", 0},
    [WR_ATTN_OUT] = {"attn_output", WR_BIAS_OUT},
    [WR_ATTN_SINKS] = {"attn_sinks", 0},
    [WR_ATTN_POST_NORM] = {"post_attention_norm", WR_BIAS_NORM},
    [WR_ATTN_SUM_NORM] = {"attn_output_norm", WR_BIAS_NORM},
    [WR_FFN_NORM] = {"ffn_norm", WR_BIAS_NORM},
    [WR_FFN_GATE] = {"ffn_gate", WR_BIAS_FEED},
    [WR_FFN_UP] = {"ffn_up", WR_BIAS_FEED},
    [WR_FFN_DOWN] = {"ffn_down", WR_BIAS_FEED},
    [WR_FFN_ROUTER] = {"ffn_gate_inp", WR_BIAS_FEED},
    [WR_FFN_GATES] = {"ffn_gate_exps", WR_BIAS_FEED},
    [WR_FFN_UPS] = {"ffn_up_exps", WR_BIAS_FEED},
    [WR_FFN_DOWNS] = {"ffn_down_exps", WR_BIAS_FEED},
    [WR_FFN_POST_NORM] = {"post_ffw_norm", WR_BIAS_NORM},
    [WR_FFN_SUM_NORM] = {"layer_output_norm", WR_BIAS_NORM},
};
