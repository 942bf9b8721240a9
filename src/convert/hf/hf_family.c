/* The families that weir converts: see hf_family.h. */
#include "convert/hf/hf_family.h"

#include <stdio.h>
#include <string.h>

#include "file/name.h"

/* ---- what is particular about a family's configuration ------------------------------------------
 */

#define NO_KEYS                                                                                    \
    { NULL, NULL, NULL, WR_KEY_INT, 0 }
#define NO_DEMANDS                                                                                 \
    { NULL, NULL, NULL }

static const wr_key_rule neox_keys[] = {
    {"use_parallel_residual", "use_parallel_residual", "true", WR_KEY_BOOL, 0},
    NO_KEYS,
};
static const wr_key_rule stablelm_keys[] = {
    {"use_parallel_residual", "use_parallel_residual", "false", WR_KEY_BOOL, 0},
    {"attention.layer_norm_epsilon", "layer_norm_eps norm_eps", "1e-5", WR_KEY_FLOAT, 0},
    NO_KEYS,
};
/* Both are in no configuration of the first generation. */
static const wr_key_rule falcon_keys[] = {
    {"context_length", "max_position_embeddings", "2048", WR_KEY_INT, 0},
    {"attention.layer_norm_epsilon", "layer_norm_epsilon", "1e-5", WR_KEY_FLOAT, 0},
    NO_KEYS,
};
static const wr_key_rule mpt_keys[] = {
    {"attention.layer_norm_epsilon", "layer_norm_epsilon", "1e-5", WR_KEY_FLOAT, 0},
    {"attention.clamp_kqv", "attn_config.clip_qkv", NULL, WR_KEY_FLOAT, 0},
    NO_KEYS,
};
/* Files of the models with eyes leave out what the class has by itself. */
static const wr_key_rule gemma3_keys[] = {
    {"context_length", "max_position_embeddings", "131072", WR_KEY_INT, 0},
    {"attention.head_count", "num_attention_heads", "8", WR_KEY_INT, 0},
    {"attention.head_count_kv", "num_key_value_heads", "4", WR_KEY_INT, 0},
    {"attention.key_length", "head_dim", "256", WR_KEY_INT, 0},
    {"attention.value_length", "head_dim", "256", WR_KEY_INT, 0},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", "1e-6", WR_KEY_FLOAT, 0},
    {"rope.freq_base_swa", "rope_local_base_freq rope_parameters.sliding_attention.rope_theta",
     "10000", WR_KEY_FLOAT, 0},
    NO_KEYS,
};
static const wr_key_rule gpt_oss_keys[] = {
    {"expert_feed_forward_length", "intermediate_size", NULL, WR_KEY_INT, 0},
    NO_KEYS,
};
/* null is no cap; a file without the keys would be one of before they were written. */
static const wr_key_rule gemma2_keys[] = {
    {"attn_logit_softcapping", "attn_logit_softcapping", "0", WR_KEY_FLOAT, 0},
    {"final_logit_softcapping", "final_logit_softcapping", "0", WR_KEY_FLOAT, 0},
    {NULL, NULL, NULL, WR_KEY_INT, 0},
};
static const wr_key_rule bert_keys[] = {
    {"attention.causal", "causal", "false", WR_KEY_BOOL, 0},
    NO_KEYS,
};

static const char windows_of_layers[] = "windows that only some layers have are not supported";

static const wr_demand falcon_demands[] = {
    {"alibi", "false", "Falcon with ALiBi (the RW models) is not supported"},
    {"parallel_attn", "true", "Falcon with sequential halves is not supported"},
    NO_DEMANDS,
};
static const wr_demand mpt_demands[] = {
    {"attn_config.alibi", "true", "MPT with learned positions is not supported"},
    {"attn_config.prefix_lm", "false", "a prefix that attends both ways is not supported"},
    {"attn_config.softmax_scale", "", "a softmax scale of its own is not supported"},
    {"attn_config.qk_ln", "false", "norms of queries and keys are not supported here"},
    {"logit_scale", "", "a scale of the logits is not supported"},
    {"embedding_fraction", "1", "a scale of the embeddings is not supported"},
    NO_DEMANDS,
};
static const wr_demand gpt2_demands[] = {
    {"scale_attn_weights", "true", "attention without its scale is not supported"},
    {"scale_attn_by_inverse_layer_idx", "false", "a scale by layer is not supported"},
    {"add_cross_attention", "false", "attention to an encoder is not supported"},
    NO_DEMANDS,
};
static const wr_demand phi2_demands[] = {
    {"qk_layernorm", "false", "norms of queries and keys are not supported here"},
    NO_DEMANDS,
};
static const wr_demand qwen_demands[] = {
    {"use_sliding_window", "false", windows_of_layers},
    NO_DEMANDS,
};
static const wr_demand qwen_moe_demands[] = {
    {"use_sliding_window", "false", windows_of_layers},
    {"norm_topk_prob", "true", "experts whose shares do not add up to 1 are not supported"},
    {"decoder_sparse_step", "1", "experts in only some layers are not supported"},
    NO_DEMANDS,
};
static const wr_demand gemma3_demands[] = {
    {"use_bidirectional_attention", "false", "attention both ways is not supported"},
    NO_DEMANDS,
};
static const wr_demand smollm3_demands[] = {
    {"use_sliding_window", "false", windows_of_layers},
    {"no_rope_layer_interval", "4", "only every fourth layer may be without rotary positions"},
    NO_DEMANDS,
};
static const wr_demand bert_demands[] = {
    {"position_embedding_type", "absolute", "relative positions are not supported"},
    {"is_decoder", "false", "BERT as a decoder is not supported"},
    NO_DEMANDS,
};
static const wr_demand nomic_demands[] = {
    {"prenorm", "false", "norms in front are not supported"},
    {"rotary_emb_fraction", "1", "only heads that turn as a whole are supported"},
    {"rotary_emb_interleaved", "false", "only halves of a head may form rotary pairs"},
    {"rotary_emb_scale_base", "", "a scale of rotary positions is not supported"},
    {"moe_every_n_layers", "0", "its experts are not supported"},
    NO_DEMANDS,
};

/* ---- the table ---------------------------------------------------------------------------------
 */

#define SILU "silu swish"
#define GELU "gelu gelu_python"
#define GELU_TANH "gelu_pytorch_tanh gelu_new gelu_fast"
#define ROTATED .rotary_share = 1, .rope_base = 10000
#define IN_MODEL .prefixes = "model."

static const wr_hf_family families[] = {
    {.name = "llama",
     .classes = "LlamaForCausalLM LLaMAForCausalLM MistralForCausalLM MixtralForCausalLM",
     IN_MODEL,
     .renames = wr_renames_llama,
     .activation = SILU,
     ROTATED},
    {.name = "gptneox",
     .classes = "GPTNeoXForCausalLM",
     .prefixes = "gpt_neox.",
     .renames = wr_renames_neox,
     .keys = neox_keys,
     .activation = GELU,
     .rotary_share = 0.25,
     .rope_base = 10000},
    {.name = "falcon",
     .classes = "FalconForCausalLM RWForCausalLM",
     .prefixes = "transformer.",
     .renames = wr_renames_falcon,
     .keys = falcon_keys,
     .demands = falcon_demands,
     .activation = GELU,
     ROTATED},
    {.name = "mpt",
     .classes = "MptForCausalLM MPTForCausalLM",
     .prefixes = "transformer.",
     .renames = wr_renames_mpt,
     .keys = mpt_keys,
     .demands = mpt_demands,
     .activation = GELU},
    {.name = "gpt2",
     .classes = "GPT2LMHeadModel",
     .prefixes = "transformer.",
     .renames = wr_renames_gpt2,
     .demands = gpt2_demands,
     .activation = GELU_TANH},
    {.name = "stablelm",
     .classes = "StableLmForCausalLM StableLMEpochForCausalLM",
     IN_MODEL,
     .renames = wr_renames_stablelm,
     .keys = stablelm_keys,
     .activation = SILU,
     .rotary_share = 0.25,
     .rope_base = 10000},
    {.name = "phi2",
     .classes = "PhiForCausalLM",
     IN_MODEL,
     .renames = wr_renames_phi2,
     .demands = phi2_demands,
     .activation = GELU_TANH,
     .rotary_share = 0.5,
     .rope_base = 10000},
    {.name = "phi3",
     .classes = "Phi3ForCausalLM",
     IN_MODEL,
     .renames = wr_renames_phi3,
     .activation = SILU,
     ROTATED},
    {.name = "qwen2",
     .classes = "Qwen2ForCausalLM",
     IN_MODEL,
     .renames = wr_renames_qwen,
     .demands = qwen_demands,
     .activation = SILU,
     ROTATED},
    {.name = "qwen3",
     .classes = "Qwen3ForCausalLM",
     IN_MODEL,
     .renames = wr_renames_qwen,
     .demands = qwen_demands,
     .activation = SILU,
     ROTATED},
    {.name = "qwen3moe",
     .classes = "Qwen3MoeForCausalLM",
     IN_MODEL,
     .renames = wr_renames_qwen,
     .demands = qwen_moe_demands,
     .activation = SILU,
     ROTATED},
    {.name = "gemma",
     .classes = "GemmaForCausalLM",
     IN_MODEL,
     .renames = wr_renames_gemma,
     .activation = GELU " " GELU_TANH,
     ROTATED}, /* its files say gelu and mean the other */
    {.name = "gemma2",
     .classes = "Gemma2ForCausalLM",
     IN_MODEL,
     .renames = wr_renames_gemma2,
     .keys = gemma2_keys,
     .activation = GELU_TANH,
     ROTATED},
    {.name = "gemma3",
     .classes = "Gemma3ForCausalLM Gemma3ForConditionalGeneration",
     .text_config = "text_config",
     .prefixes = "model. language_model.model. model.language_model.",
     .renames = wr_renames_gemma2,
     .keys = gemma3_keys,
     .demands = gemma3_demands,
     .activation = GELU_TANH,
     .rotary_share = 1,
     .rope_base = 1e6},
    {.name = "starcoder2",
     .classes = "Starcoder2ForCausalLM",
     IN_MODEL,
     .renames = wr_renames_starcoder2,
     .activation = GELU_TANH,
     ROTATED},
    {.name = "olmo2",
     .classes = "Olmo2ForCausalLM",
     IN_MODEL,
     .renames = wr_renames_olmo2,
     .activation = SILU,
     ROTATED},
    {.name = "smollm3",
     .classes = "SmolLM3ForCausalLM",
     IN_MODEL,
     .renames = wr_renames_llama,
     .demands = smollm3_demands,
     .activation = SILU,
     .rotary_share = 1,
     .rope_base = 2e6},
    {.name = "gpt-oss",
     .classes = "GptOssForCausalLM",
     IN_MODEL,
     .renames = wr_renames_gpt_oss,
     .keys = gpt_oss_keys,
     .activation = SILU,
     .rotary_share = 1,
     .rope_base = 150000},
    {.name = "bert",
     .classes = "BertModel BertForMaskedLM BertForPreTraining",
     .prefixes = "bert.",
     .renames = wr_renames_bert,
     .keys = bert_keys,
     .demands = bert_demands,
     .activation = GELU,
     .encoder = true},
    {.name = "nomic-bert",
     .classes = "NomicBertModel",
     .prefixes = "",
     .renames = wr_renames_nomic,
     .keys = bert_keys,
     .demands = nomic_demands,
     .activation = "swiglu silu",
     .rotary_share = 1,
     .rope_base = 1000,
     .encoder = true},
};
enum { FAMILIES = sizeof families / sizeof families[0] };

/* ---- finding it --------------------------------------------------------------------------------
 */

static bool has_word(const char *words, wr_string word) {
    while (*words != '\0') {
        const size_t size = strcspn(words, " ");
        if (size == word.size && memcmp(words, word.data, size) == 0) return true;
        words += size + (words[size] == ' ');
    }
    return false;
}

static const wr_hf_family *find_class(wr_string class) {
    for (size_t i = 0; i < FAMILIES; i++)
        if (has_word(families[i].classes, class)) return &families[i];
    return NULL;
}

weir_status wr_hf_family_find(const wr_json *config, const char *folder, const wr_hf_family **out,
                              weir_error *error) {
    const wr_json *classes = wr_json_member(config, "architectures");
    wr_string class = {0};
    char known[320];
    int used = 0;
    *out = NULL;
    if (!wr_json_get_string(wr_json_item(classes, 0), &class))
        return weir_error_set(error, WEIR_DAMAGED,
                              "%.200s/config.json: there are no \"architectures\", so the kind of "
                              "the model is not known",
                              folder);
    *out = find_class(class);
    if (*out != NULL) return WEIR_OK;
    known[0] = '\0';
    for (size_t i = 0; i < FAMILIES && used >= 0 && (size_t)used < sizeof known; i++)
        used += snprintf(known + used, sizeof known - (size_t)used, "%s%s", i > 0 ? ", " : "",
                         families[i].name);
    return weir_error_set(error, WEIR_UNSUPPORTED,
                          "%.100s/config.json: models of class %s are not supported (families that "
                          "are: %s)",
                          folder, wr_name_quote(class).text, known);
}
