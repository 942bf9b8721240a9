/* The families that weir runs: see family.h. */
#include "model/family.h"

static const wr_family families[] = {
    {.name = "llama", /* Llama, Mistral, SmolLM, TinyLlama and whatever else calls itself llama */
     .norm = WR_NORM_RMS,
     .activation = WR_ACTIVATION_SILU,
     .gated = true,
     .pairing = WR_ROTARY_ADJACENT,
     .norm_epsilon_key = "attention.layer_norm_rms_epsilon"},
    {.name = "weir", /* a Llama trained here with what Llama has not: docs/format.md */
     .norm = WR_NORM_RMS,
     .activation = WR_ACTIVATION_SILU,
     .gated = true,
     .pairing = WR_ROTARY_ADJACENT,
     .norm_epsilon_key = "attention.layer_norm_rms_epsilon",
     .sink_key = "attention.sink",
     .positions_key = "attention.positions"},
};

const wr_family *wr_family_find(wr_string name) {
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (wr_string_is(name, families[i].name)) return &families[i];
    return NULL;
}

const char *wr_family_names(void) { return "llama, weir"; }

const char *const wr_block_part_names[WR_BLOCK_PARTS] = {
    [WR_ATTN_NORM] = "attn_norm", [WR_ATTN_Q] = "attn_q",        [WR_ATTN_K] = "attn_k",
    [WR_ATTN_V] = "attn_v",       [WR_ATTN_OUT] = "attn_output", [WR_ATTN_SINKS] = "attn_sinks",
    [WR_FFN_NORM] = "ffn_norm",   [WR_FFN_GATE] = "ffn_gate",    [WR_FFN_UP] = "ffn_up",
    [WR_FFN_DOWN] = "ffn_down",
};
