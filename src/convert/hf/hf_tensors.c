/*
 * What tensors are called in a Hugging Face model and in GGUF, family by family. The rows of each
 * table are the order of the file that is written.
 */
#include "convert/hf/hf_family.h"

#define OPTIONAL WR_RENAME_OPTIONAL
#define ROOT WR_RENAME_ROOT
#define TRANSPOSED WR_RENAME_TRANSPOSED
#define PLUS_ONE WR_RENAME_PLUS_ONE
#define FLOAT WR_RENAME_FLOAT
#define HEAD (WR_RENAME_HEAD | WR_RENAME_OPTIONAL)

/* A matrix whose bias not every model has, and one that must have it. */
#define LINEAR(from, to, rows, flags)                                                              \
    {from ".weight", to ".weight", rows, flags}, {                                                 \
        from ".bias", to ".bias", rows, ((flags) & ~(unsigned)TRANSPOSED) | OPTIONAL               \
    }
#define PLAIN(from, to) LINEAR(from, to, WR_ROWS_SAME, 0)
#define NORM(from, to) LINEAR(from, to, WR_ROWS_SAME, 0)
#define SKIP(from)                                                                                 \
    { from, NULL, WR_ROWS_SAME, OPTIONAL }
#define END                                                                                        \
    { NULL, NULL, WR_ROWS_SAME, 0 }

#define EMBEDDING                                                                                  \
    { "embed_tokens.weight", "token_embd.weight", WR_ROWS_SAME, 0 }
#define OUTPUT                                                                                     \
    {"lm_head.weight", "output.weight", WR_ROWS_SAME, ROOT | HEAD}, {                              \
        "lm_head.bias", "output.bias", WR_ROWS_SAME, ROOT | HEAD                                   \
    }

#define GATED                                                                                      \
    LINEAR("layers.%.mlp.gate_proj", "blk.%.ffn_gate", WR_ROWS_SAME, OPTIONAL),                    \
        LINEAR("layers.%.mlp.up_proj", "blk.%.ffn_up", WR_ROWS_SAME, OPTIONAL),                    \
        LINEAR("layers.%.mlp.down_proj", "blk.%.ffn_down", WR_ROWS_SAME, OPTIONAL)

#define ATTENTION(q_rows, k_rows)                                                                  \
    LINEAR("layers.%.self_attn.q_proj", "blk.%.attn_q", q_rows, 0),                                \
        LINEAR("layers.%.self_attn.k_proj", "blk.%.attn_k", k_rows, 0),                            \
        PLAIN("layers.%.self_attn.v_proj", "blk.%.attn_v"),                                        \
        PLAIN("layers.%.self_attn.o_proj", "blk.%.attn_output")

/* Llama, Mistral, Mixtral, SmolLM3. */
const wr_rename wr_renames_llama[] = {
    EMBEDDING,
    NORM("norm", "output_norm"),
    OUTPUT,
    NORM("layers.%.input_layernorm", "blk.%.attn_norm"),
    ATTENTION(WR_ROWS_PAIRED_Q, WR_ROWS_PAIRED_K),
    NORM("layers.%.post_attention_layernorm", "blk.%.ffn_norm"),
    GATED,
    {"layers.%.block_sparse_moe.gate.weight", "blk.%.ffn_gate_inp.weight", WR_ROWS_SAME,
     OPTIONAL | FLOAT},
    {"layers.%.block_sparse_moe.experts.#.w1.weight", "blk.%.ffn_gate_exps.weight", WR_ROWS_SAME,
     OPTIONAL},
    {"layers.%.block_sparse_moe.experts.#.w3.weight", "blk.%.ffn_up_exps.weight", WR_ROWS_SAME,
     OPTIONAL},
    {"layers.%.block_sparse_moe.experts.#.w2.weight", "blk.%.ffn_down_exps.weight", WR_ROWS_SAME,
     OPTIONAL},
    SKIP("layers.%.self_attn.rotary_emb.inv_freq"),
    END,
};

/* GPT-NeoX, Pythia. */
const wr_rename wr_renames_neox[] = {
    {"embed_in.weight", "token_embd.weight", WR_ROWS_SAME, 0},
    NORM("final_layer_norm", "output_norm"),
    {"embed_out.weight", "output.weight", WR_ROWS_SAME, ROOT | HEAD},
    NORM("layers.%.input_layernorm", "blk.%.attn_norm"),
    LINEAR("layers.%.attention.query_key_value", "blk.%.attn_qkv", WR_ROWS_UNFUSED, 0),
    PLAIN("layers.%.attention.dense", "blk.%.attn_output"),
    NORM("layers.%.post_attention_layernorm", "blk.%.ffn_norm"),
    PLAIN("layers.%.mlp.dense_h_to_4h", "blk.%.ffn_up"),
    PLAIN("layers.%.mlp.dense_4h_to_h", "blk.%.ffn_down"),
    SKIP("layers.%.attention.bias"),
    SKIP("layers.%.attention.masked_bias"),
    SKIP("layers.%.attention.rotary_emb.inv_freq"),
    END,
};

/* Both generations: one norm for both halves of a block, or one for each. */
const wr_rename wr_renames_falcon[] = {
    {"word_embeddings.weight", "token_embd.weight", WR_ROWS_SAME, 0},
    NORM("ln_f", "output_norm"),
    OUTPUT,
    LINEAR("h.%.input_layernorm", "blk.%.attn_norm", WR_ROWS_SAME, OPTIONAL),
    LINEAR("h.%.ln_mlp", "blk.%.attn_norm", WR_ROWS_SAME, OPTIONAL),
    LINEAR("h.%.ln_attn", "blk.%.attn_norm_2", WR_ROWS_SAME, OPTIONAL),
    LINEAR("h.%.self_attention.query_key_value", "blk.%.attn_qkv", WR_ROWS_UNFUSED, 0),
    PLAIN("h.%.self_attention.dense", "blk.%.attn_output"),
    PLAIN("h.%.mlp.dense_h_to_4h", "blk.%.ffn_up"),
    PLAIN("h.%.mlp.dense_4h_to_h", "blk.%.ffn_down"),
    SKIP("h.%.self_attention.rotary_emb.inv_freq"),
    END,
};

const wr_rename wr_renames_mpt[] = {
    {"wte.weight", "token_embd.weight", WR_ROWS_SAME, 0},
    {"wpe.weight", "position_embd.weight", WR_ROWS_SAME, OPTIONAL | FLOAT},
    NORM("norm_f", "output_norm"),
    OUTPUT,
    NORM("blocks.%.norm_1", "blk.%.attn_norm"),
    PLAIN("blocks.%.attn.Wqkv", "blk.%.attn_qkv"),
    PLAIN("blocks.%.attn.out_proj", "blk.%.attn_output"),
    LINEAR("blocks.%.attn.q_ln", "blk.%.attn_q_norm", WR_ROWS_SAME, OPTIONAL),
    LINEAR("blocks.%.attn.k_ln", "blk.%.attn_k_norm", WR_ROWS_SAME, OPTIONAL),
    NORM("blocks.%.norm_2", "blk.%.ffn_norm"),
    PLAIN("blocks.%.ffn.up_proj", "blk.%.ffn_up"),
    PLAIN("blocks.%.ffn.down_proj", "blk.%.ffn_down"),
    END,
};

/* Its layers are convolutions of width 1, whose matrices stand the other way round. */
const wr_rename wr_renames_gpt2[] = {
    {"wte.weight", "token_embd.weight", WR_ROWS_SAME, 0},
    {"wpe.weight", "position_embd.weight", WR_ROWS_SAME, FLOAT},
    NORM("ln_f", "output_norm"),
    OUTPUT,
    NORM("h.%.ln_1", "blk.%.attn_norm"),
    LINEAR("h.%.attn.c_attn", "blk.%.attn_qkv", WR_ROWS_SAME, TRANSPOSED),
    LINEAR("h.%.attn.c_proj", "blk.%.attn_output", WR_ROWS_SAME, TRANSPOSED),
    NORM("h.%.ln_2", "blk.%.ffn_norm"),
    LINEAR("h.%.mlp.c_fc", "blk.%.ffn_up", WR_ROWS_SAME, TRANSPOSED),
    LINEAR("h.%.mlp.c_proj", "blk.%.ffn_down", WR_ROWS_SAME, TRANSPOSED),
    SKIP("h.%.attn.bias"),
    SKIP("h.%.attn.masked_bias"),
    END,
};

const wr_rename wr_renames_stablelm[] = {
    EMBEDDING,
    NORM("norm", "output_norm"),
    OUTPUT,
    NORM("layers.%.input_layernorm", "blk.%.attn_norm"),
    ATTENTION(WR_ROWS_SAME, WR_ROWS_SAME),
    {"layers.%.self_attn.q_layernorm.norms.#.weight", "blk.%.attn_q_norm.weight", WR_ROWS_SAME,
     OPTIONAL | WR_RENAME_HEADS},
    {"layers.%.self_attn.k_layernorm.norms.#.weight", "blk.%.attn_k_norm.weight", WR_ROWS_SAME,
     OPTIONAL | WR_RENAME_KV_HEADS},
    LINEAR("layers.%.post_attention_layernorm", "blk.%.ffn_norm", WR_ROWS_SAME, OPTIONAL),
    GATED,
    SKIP("layers.%.self_attn.rotary_emb.inv_freq"),
    END,
};

const wr_rename wr_renames_phi2[] = {
    EMBEDDING,
    NORM("final_layernorm", "output_norm"),
    OUTPUT,
    NORM("layers.%.input_layernorm", "blk.%.attn_norm"),
    PLAIN("layers.%.self_attn.q_proj", "blk.%.attn_q"),
    PLAIN("layers.%.self_attn.k_proj", "blk.%.attn_k"),
    PLAIN("layers.%.self_attn.v_proj", "blk.%.attn_v"),
    PLAIN("layers.%.self_attn.dense", "blk.%.attn_output"),
    PLAIN("layers.%.mlp.fc1", "blk.%.ffn_up"),
    PLAIN("layers.%.mlp.fc2", "blk.%.ffn_down"),
    END,
};

/* Its gate and up are one matrix in GGUF too, the gate first. */
const wr_rename wr_renames_phi3[] = {
    EMBEDDING,
    NORM("norm", "output_norm"),
    OUTPUT,
    NORM("layers.%.input_layernorm", "blk.%.attn_norm"),
    PLAIN("layers.%.self_attn.qkv_proj", "blk.%.attn_qkv"),
    PLAIN("layers.%.self_attn.o_proj", "blk.%.attn_output"),
    NORM("layers.%.post_attention_layernorm", "blk.%.ffn_norm"),
    PLAIN("layers.%.mlp.gate_up_proj", "blk.%.ffn_up"),
    PLAIN("layers.%.mlp.down_proj", "blk.%.ffn_down"),
    END,
};

/* Qwen 2, Qwen 3 and its experts. */
const wr_rename wr_renames_qwen[] = {
    EMBEDDING,
    NORM("norm", "output_norm"),
    OUTPUT,
    NORM("layers.%.input_layernorm", "blk.%.attn_norm"),
    ATTENTION(WR_ROWS_SAME, WR_ROWS_SAME),
    {"layers.%.self_attn.q_norm.weight", "blk.%.attn_q_norm.weight", WR_ROWS_SAME, OPTIONAL},
    {"layers.%.self_attn.k_norm.weight", "blk.%.attn_k_norm.weight", WR_ROWS_SAME, OPTIONAL},
    NORM("layers.%.post_attention_layernorm", "blk.%.ffn_norm"),
    GATED,
    {"layers.%.mlp.gate.weight", "blk.%.ffn_gate_inp.weight", WR_ROWS_SAME, OPTIONAL | FLOAT},
    {"layers.%.mlp.experts.#.gate_proj.weight", "blk.%.ffn_gate_exps.weight", WR_ROWS_SAME,
     OPTIONAL},
    {"layers.%.mlp.experts.#.up_proj.weight", "blk.%.ffn_up_exps.weight", WR_ROWS_SAME, OPTIONAL},
    {"layers.%.mlp.experts.#.down_proj.weight", "blk.%.ffn_down_exps.weight", WR_ROWS_SAME,
     OPTIONAL},
    END,
};

const wr_rename wr_renames_gemma[] = {
    EMBEDDING,
    {"norm.weight", "output_norm.weight", WR_ROWS_SAME, PLUS_ONE},
    OUTPUT,
    {"layers.%.input_layernorm.weight", "blk.%.attn_norm.weight", WR_ROWS_SAME, PLUS_ONE},
    ATTENTION(WR_ROWS_SAME, WR_ROWS_SAME),
    {"layers.%.post_attention_layernorm.weight", "blk.%.ffn_norm.weight", WR_ROWS_SAME, PLUS_ONE},
    GATED,
    END,
};

/* Gemma 2 and 3: norms before and after each half of a block. */
const wr_rename wr_renames_gemma2[] = {
    EMBEDDING,
    {"norm.weight", "output_norm.weight", WR_ROWS_SAME, PLUS_ONE},
    OUTPUT,
    {"layers.%.input_layernorm.weight", "blk.%.attn_norm.weight", WR_ROWS_SAME, PLUS_ONE},
    ATTENTION(WR_ROWS_SAME, WR_ROWS_SAME),
    {"layers.%.self_attn.q_norm.weight", "blk.%.attn_q_norm.weight", WR_ROWS_SAME,
     OPTIONAL | PLUS_ONE},
    {"layers.%.self_attn.k_norm.weight", "blk.%.attn_k_norm.weight", WR_ROWS_SAME,
     OPTIONAL | PLUS_ONE},
    {"layers.%.post_attention_layernorm.weight", "blk.%.post_attention_norm.weight", WR_ROWS_SAME,
     PLUS_ONE},
    {"layers.%.pre_feedforward_layernorm.weight", "blk.%.ffn_norm.weight", WR_ROWS_SAME, PLUS_ONE},
    GATED,
    {"layers.%.post_feedforward_layernorm.weight", "blk.%.post_ffw_norm.weight", WR_ROWS_SAME,
     PLUS_ONE},
    END,
};

const wr_rename wr_renames_starcoder2[] = {
    EMBEDDING,
    NORM("norm", "output_norm"),
    OUTPUT,
    NORM("layers.%.input_layernorm", "blk.%.attn_norm"),
    ATTENTION(WR_ROWS_SAME, WR_ROWS_SAME),
    NORM("layers.%.post_attention_layernorm", "blk.%.ffn_norm"),
    PLAIN("layers.%.mlp.c_fc", "blk.%.ffn_up"),
    PLAIN("layers.%.mlp.c_proj", "blk.%.ffn_down"),
    END,
};

/* Norms behind each half of a block only, and over all heads of queries and keys at once. */
const wr_rename wr_renames_olmo2[] = {
    EMBEDDING,
    NORM("norm", "output_norm"),
    OUTPUT,
    ATTENTION(WR_ROWS_SAME, WR_ROWS_SAME),
    {"layers.%.self_attn.q_norm.weight", "blk.%.attn_q_norm.weight", WR_ROWS_SAME, 0},
    {"layers.%.self_attn.k_norm.weight", "blk.%.attn_k_norm.weight", WR_ROWS_SAME, 0},
    NORM("layers.%.post_attention_layernorm", "blk.%.post_attention_norm"),
    GATED,
    NORM("layers.%.post_feedforward_layernorm", "blk.%.post_ffw_norm"),
    END,
};

/* Gate and up of an expert alternate; matrices stand the other way round unless they are MXFP4. */
#define EXPERTS "layers.%.mlp.experts."
#define TURNED (OPTIONAL | TRANSPOSED)
#define BLOCKS (OPTIONAL | WR_RENAME_MXFP4)
const wr_rename wr_renames_gpt_oss[] = {
    EMBEDDING,
    NORM("norm", "output_norm"),
    OUTPUT,
    NORM("layers.%.input_layernorm", "blk.%.attn_norm"),
    ATTENTION(WR_ROWS_SAME, WR_ROWS_SAME),
    {"layers.%.self_attn.sinks", "blk.%.attn_sinks.weight", WR_ROWS_SAME, 0},
    NORM("layers.%.post_attention_layernorm", "blk.%.post_attention_norm"),
    LINEAR("layers.%.mlp.router", "blk.%.ffn_gate_inp", WR_ROWS_SAME, FLOAT),
    {EXPERTS "gate_up_proj", "blk.%.ffn_gate_exps.weight", WR_ROWS_EVEN, TURNED},
    {EXPERTS "gate_up_proj", "blk.%.ffn_up_exps.weight", WR_ROWS_ODD, TURNED},
    {EXPERTS "down_proj", "blk.%.ffn_down_exps.weight", WR_ROWS_SAME, TURNED},
    {EXPERTS "gate_up_proj_blocks", "blk.%.ffn_gate_exps.weight", WR_ROWS_EVEN, BLOCKS},
    {EXPERTS "gate_up_proj_blocks", "blk.%.ffn_up_exps.weight", WR_ROWS_ODD, BLOCKS},
    {EXPERTS "down_proj_blocks", "blk.%.ffn_down_exps.weight", WR_ROWS_SAME, BLOCKS},
    {EXPERTS "gate_up_proj_bias", "blk.%.ffn_gate_exps.bias", WR_ROWS_EVEN, WR_RENAME_VECTORS},
    {EXPERTS "gate_up_proj_bias", "blk.%.ffn_up_exps.bias", WR_ROWS_ODD, WR_RENAME_VECTORS},
    {EXPERTS "down_proj_bias", "blk.%.ffn_down_exps.bias", WR_ROWS_SAME, WR_RENAME_VECTORS},
    END,
};

#define LAYER "encoder.layer.%."
const wr_rename wr_renames_bert[] = {
    {"embeddings.word_embeddings.weight", "token_embd.weight", WR_ROWS_SAME, 0},
    {"embeddings.token_type_embeddings.weight", "token_types.weight", WR_ROWS_SAME, FLOAT},
    {"embeddings.position_embeddings.weight", "position_embd.weight", WR_ROWS_SAME, FLOAT},
    NORM("embeddings.LayerNorm", "token_embd_norm"),
    PLAIN(LAYER "attention.self.query", "blk.%.attn_q"),
    PLAIN(LAYER "attention.self.key", "blk.%.attn_k"),
    PLAIN(LAYER "attention.self.value", "blk.%.attn_v"),
    PLAIN(LAYER "attention.output.dense", "blk.%.attn_output"),
    NORM(LAYER "attention.output.LayerNorm", "blk.%.attn_output_norm"),
    PLAIN(LAYER "intermediate.dense", "blk.%.ffn_up"),
    PLAIN(LAYER "output.dense", "blk.%.ffn_down"),
    NORM(LAYER "output.LayerNorm", "blk.%.layer_output_norm"),
    SKIP("embeddings.position_ids"),
    SKIP("pooler.dense.weight"),
    SKIP("pooler.dense.bias"),
    {"cls.predictions.bias", NULL, WR_ROWS_SAME, OPTIONAL | ROOT},
    {"cls.predictions.decoder.weight", NULL, WR_ROWS_SAME, OPTIONAL | ROOT},
    {"cls.predictions.decoder.bias", NULL, WR_ROWS_SAME, OPTIONAL | ROOT},
    {"cls.predictions.transform.dense.weight", NULL, WR_ROWS_SAME, OPTIONAL | ROOT},
    {"cls.predictions.transform.dense.bias", NULL, WR_ROWS_SAME, OPTIONAL | ROOT},
    {"cls.predictions.transform.LayerNorm.weight", NULL, WR_ROWS_SAME, OPTIONAL | ROOT},
    {"cls.predictions.transform.LayerNorm.bias", NULL, WR_ROWS_SAME, OPTIONAL | ROOT},
    {"cls.seq_relationship.weight", NULL, WR_ROWS_SAME, OPTIONAL | ROOT},
    {"cls.seq_relationship.bias", NULL, WR_ROWS_SAME, OPTIONAL | ROOT},
    END,
};

const wr_rename wr_renames_nomic[] = {
    {"embeddings.word_embeddings.weight", "token_embd.weight", WR_ROWS_SAME, 0},
    {"embeddings.token_type_embeddings.weight", "token_types.weight", WR_ROWS_SAME, FLOAT},
    NORM("emb_ln", "token_embd_norm"),
    PLAIN("encoder.layers.%.attn.Wqkv", "blk.%.attn_qkv"),
    PLAIN("encoder.layers.%.attn.out_proj", "blk.%.attn_output"),
    NORM("encoder.layers.%.norm1", "blk.%.attn_output_norm"),
    PLAIN("encoder.layers.%.mlp.fc11", "blk.%.ffn_up"),
    PLAIN("encoder.layers.%.mlp.fc12", "blk.%.ffn_gate"),
    PLAIN("encoder.layers.%.mlp.fc2", "blk.%.ffn_down"),
    NORM("encoder.layers.%.norm2", "blk.%.layer_output_norm"),
    END,
};
