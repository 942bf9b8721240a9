/* weir info: what is in a model file. */
#include <stdio.h>
#include <string.h>

#include "common/command.h"
#include "common/output.h"
#include "common/stream_options.h"
#include "common/words.h"

typedef struct info_arguments {
    cli_value json;
} info_arguments;

static const cli_option options[] = {
    {"--json", OPTION_FLAG, NULL, .at = offsetof(info_arguments, json),
     .help = "print one JSON object"},
    {0},
};
static const cli_group groups[] = {{"Options", options, 0}, {0}};

#define FORMATS_MAX 64
#define CACHE_TYPES 3

typedef struct format_sum {
    char name[32];
    int64_t tensors, bytes;
} format_sum;

typedef struct summary {
    const weir_model_info *info;
    format_sum formats[FORMATS_MAX];
    int formats_count;
    bool streams; /* the file holds a model, not only a vocabulary: */
    int64_t token_bytes[CACHE_TYPES];
    weir_plan plan; /* of a stream with the default options */
} summary;

static format_sum *find_format(summary *sum, const char *name) {
    for (int i = 0; i < sum->formats_count; i++) {
        if (strcmp(sum->formats[i].name, name) == 0) {
            return &sum->formats[i];
        }
    }
    if (sum->formats_count == FORMATS_MAX) {
        return &sum->formats[FORMATS_MAX - 1];
    }
    format_sum *added = &sum->formats[sum->formats_count++];
    snprintf(added->name, sizeof added->name, "%s", name);
    return added;
}

static void summarize(const weir_model *model, summary *sum) {
    sum->info = weir_model_get_info(model);
    for (int64_t i = 0; i < sum->info->tensors; i++) {
        weir_tensor_info tensor;
        char name[32];
        weir_model_get_tensor(model, i, &tensor);
        snprintf(name, sizeof name, "type %u", tensor.number);
        format_sum *format = find_format(sum, tensor.format != NULL ? tensor.format : name);
        format->tensors++;
        format->bytes += tensor.bytes;
    }
    weir_stream_options stream = weir_stream_options_default();
    sum->streams = weir_stream_plan(model, &stream, &sum->plan, NULL) == WEIR_OK;
    if (!sum->streams) { /* learned positions: it holds a text, or is recomputed */
        stream.policy = WEIR_DENSE;
        sum->streams = weir_stream_plan(model, &stream, &sum->plan, NULL) == WEIR_OK;
    }
    for (int type = 0; type < CACHE_TYPES && sum->streams; type++) {
        weir_plan plan = {0};
        stream.cache_type = (weir_cache_type)type;
        weir_stream_plan(model, &stream, &plan, NULL);
        sum->token_bytes[type] = plan.bytes_per_token;
    }
}

/* The first line of the template, short enough for one line. */
static size_t template_line(const weir_model_info *info, size_t most) {
    size_t size = 0;
    while (size < info->chat_template_size && size < most && info->chat_template[size] != '\n') {
        size++;
    }
    if (size < info->chat_template_size) {
        while (size > 0 && ((unsigned char)info->chat_template[size] & 0xc0) == 0x80) {
            size--; /* not in the middle of a character */
        }
    }
    return size;
}

static void print_shape(const weir_model_info *info) {
    char a[WORD_MAX], b[WORD_MAX];
    printf("  layers            %lld of width %lld, feed-forward %lld\n", (long long)info->layers,
           (long long)info->width, (long long)info->feed_forward);
    if (info->experts > 0) {
        printf("  experts           %lld, of which a token uses %lld\n", (long long)info->experts,
               (long long)info->experts_used);
    }
    printf("  heads             %lld for queries, %lld for keys and values, of %lld elements\n",
           (long long)info->heads, (long long)info->kv_heads, (long long)info->key_dim);
    printf("  trained context   %s tokens", word_count(info->trained_context, a));
    if (info->layer_window > 0) {
        printf(", its layers see %s", word_count(info->layer_window, b));
    }
    puts(info->sink_token ? "; its first token was trained as a sink" : "");
    if (strcmp(info->sink_term, "none") != 0 || strcmp(info->positions, "rope") != 0) {
        printf("  attention         %s, %s\n",
               strcmp(info->sink_term, "zero") == 0    ? "a zero sink in its softmax"
               : strcmp(info->sink_term, "logit") == 0 ? "a sink logit for each head in its softmax"
                                                       : "ordinary softmax",
               strcmp(info->positions, "alibi") == 0     ? "linear biases (ALiBi)"
               : strcmp(info->positions, "learned") == 0 ? "learned positions"
                                                         : "rotary positions");
    }
    if (strcmp(info->rope_scaling, "none") != 0) {
        printf("  rotary positions  scaled: %s\n", info->rope_scaling);
    }
}

static void print_encoder(const weir_model_info *info) {
    printf("  encoder           reads a text both ways, for weir embed; pooling %s\n",
           info->pooling);
}

static void print_text_side(const weir_model_info *info) {
    char a[WORD_MAX];
    printf("  tokenizer         %s", info->tokenizer);
    if (info->pieces > 0) {
        printf(", %s tokens", word_count(info->pieces, a));
    }
    if (info->bos >= 0) {
        printf(", begins with %d%s", info->bos, info->adds_bos ? "" : " (not added)");
    }
    if (info->eos >= 0) {
        printf(", ends with %d", info->eos);
    }
    puts(info->tokenizer_usable || info->pieces == 0 ? "" : "; weir cannot read text with it yet");
    if (info->chat_template_size > 0 && info->chat_format[0] != '\0') {
        printf("  chat template     %s\n", info->chat_format);
    } else if (info->chat_template_size > 0) {
        printf("  chat template     unknown: %.*s\n", (int)template_line(info, 60),
               info->chat_template);
    } else {
        puts("  chat template     none");
    }
}

static void print_cache(const summary *sum) {
    char a[WORD_MAX];
    fputs("  cache per token  ", stdout);
    for (int type = 0; type < CACHE_TYPES; type++) {
        printf("%s %s %s", type > 0 ? "," : "", cache_type_name((weir_cache_type)type),
               word_bytes(sum->token_bytes[type], a));
    }
    word_bytes(sum->plan.kv_bytes, a);
    if (sum->plan.policy == WEIR_DENSE) {
        printf("\n  suggested stream  --policy dense: %s of cache for %lld tokens; no longer text "
               "but with --policy recompute\n",
               a, (long long)sum->plan.window);
        return;
    }
    printf("\n  suggested stream  --sinks %lld --window %lld: %s of cache, however long the text\n",
           (long long)sum->plan.sinks, (long long)sum->plan.window, a);
}

static weir_status print_text(const summary *sum, weir_error *error) {
    const weir_model_info *info = sum->info;
    char a[WORD_MAX];
    printf("%s: family %s", info->path, info->family[0] != '\0' ? info->family : "unknown");
    if (info->name[0] != '\0') {
        printf(", \"%s\"", info->name);
    }
    printf(", %s\n", word_bytes(info->file_bytes, a));
    if (info->layers > 0) {
        print_shape(info);
    }
    if (info->encoder) {
        print_encoder(info);
    }
    print_text_side(info);
    if (info->tensors > 0) {
        printf("  parameters        %s\n", word_short(info->parameters, a));
    }
    for (int i = 0; i < sum->formats_count; i++) {
        const format_sum *format = &sum->formats[i];
        printf("  %-16s  %-8s %5lld tensors, %s\n", i == 0 ? "formats" : "", format->name,
               (long long)format->tensors, word_bytes(format->bytes, a));
    }
    if (sum->streams) {
        print_cache(sum);
    }
    printf("  kernels           %s\n", info->cpu);
    return output_flush(error);
}

static json_t *formats_json(const summary *sum) {
    json_t *array = json_array();
    for (int i = 0; i < sum->formats_count; i++) {
        json_array_append_new(array, json_pack("{s:s,s:I,s:I}", "format", sum->formats[i].name,
                                               "tensors", (json_int_t)sum->formats[i].tensors,
                                               "bytes", (json_int_t)sum->formats[i].bytes));
    }
    return array;
}

static void put_count(json_t *object, const char *key, int64_t n) {
    json_object_set_new(object, key, json_integer(n));
}

static void put_text(json_t *object, const char *key, const char *text) {
    json_object_set_new(object, key, json_word(text));
}

/* A token id, or null where the model has none. */
static void put_token(json_t *object, const char *key, int32_t token) {
    json_object_set_new(object, key, token >= 0 ? json_integer(token) : json_null());
}

static void put_shape(json_t *object, const weir_model_info *info) {
    put_count(object, "file_bytes", info->file_bytes);
    put_count(object, "parameters", info->parameters);
    put_count(object, "tensors", info->tensors);
    put_count(object, "layers", info->layers);
    put_count(object, "width", info->width);
    put_count(object, "heads", info->heads);
    put_count(object, "kv_heads", info->kv_heads);
    put_count(object, "key_dim", info->key_dim);
    put_count(object, "value_dim", info->value_dim);
    put_count(object, "feed_forward", info->feed_forward);
    put_count(object, "experts", info->experts);
    put_count(object, "experts_used", info->experts_used);
    put_count(object, "vocabulary", info->vocabulary);
    put_count(object, "trained_context", info->trained_context);
    put_count(object, "layer_window", info->layer_window);
    json_object_set_new(object, "sink_token", json_boolean(info->sink_token));
    put_text(object, "sink_term", info->sink_term);
    put_text(object, "positions", info->positions);
    json_object_set_new(object, "encoder", json_boolean(info->encoder));
    put_text(object, "pooling", info->pooling);
    put_text(object, "rope_scaling", info->rope_scaling);
}

static weir_status print_json(const summary *sum, weir_error *error) {
    const weir_model_info *info = sum->info;
    json_t *object = json_object();
    put_text(object, "model", info->path);
    put_text(object, "family", info->family);
    put_text(object, "name", info->name);
    put_text(object, "cpu", info->cpu);
    put_shape(object, info);
    put_text(object, "tokenizer", info->tokenizer);
    json_object_set_new(object, "tokenizer_usable", json_boolean(info->tokenizer_usable));
    put_count(object, "pieces", info->pieces);
    put_token(object, "bos", info->bos);
    put_token(object, "eos", info->eos);
    json_object_set_new(object, "adds_bos", json_boolean(info->adds_bos));
    json_object_set_new(object, "adds_eos", json_boolean(info->adds_eos));
    json_object_set_new(object, "chat_template",
                        info->chat_template_size > 0
                            ? json_text(info->chat_template, info->chat_template_size)
                            : json_null());
    json_object_set_new(object, "chat_format",
                        info->chat_template_size > 0 && info->chat_format[0] != '\0'
                            ? json_string(info->chat_format)
                            : json_null());
    json_object_set_new(object, "formats", formats_json(sum));
    if (sum->streams) {
        json_t *cache = json_object();
        for (int type = 0; type < CACHE_TYPES; type++) {
            put_count(cache, cache_type_name((weir_cache_type)type), sum->token_bytes[type]);
        }
        json_object_set_new(object, "cache_bytes_per_token", cache);
        json_object_set_new(
            object, "suggested",
            json_pack("{s:s,s:I,s:I,s:I,s:I}", "policy", policy_name(sum->plan.policy), "sinks",
                      (json_int_t)sum->plan.sinks, "window", (json_int_t)sum->plan.window,
                      "kv_bytes", (json_int_t)sum->plan.kv_bytes, "reserved_bytes",
                      (json_int_t)sum->plan.reserved_bytes));
    }
    return output_json(object, error);
}

static int run(cli_call *call, void *arguments) {
    (void)arguments;
    weir_error error = {0};
    weir_model *model = NULL;
    summary sum = {0};
    weir_status status = open_model(call->model, NULL, true, &model, &error);
    if (status == WEIR_OK) {
        summarize(model, &sum);
        status = call->json ? print_json(&sum, &error) : print_text(&sum, &error);
    }
    weir_model_close(model);
    return status == WEIR_OK ? EXIT_DONE : report(call, &error);
}

const cli_command info_command = {
    .name = "info",
    .synopsis = "MODEL.gguf [--json]",
    .summary = "what is in a model file, and what a stream over it takes",
    .groups = groups,
    .arguments_size = sizeof(info_arguments),
    .run = run,
    .takes_model = true,
};
