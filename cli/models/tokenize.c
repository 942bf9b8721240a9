/* weir tokenize: the tokens of a text. */
#include "common/command.h"
#include "common/input.h"
#include "common/output.h"
#include "common/stream_options.h"

typedef struct tokenize_arguments {
    cli_value text, no_bos, special, json;
} tokenize_arguments;

#define AT(field) offsetof(tokenize_arguments, field)
static const cli_option options[] = {
    {"--text", OPTION_TEXT, "FILE", .at = AT(text), .help = "the text; - reads standard input"},
    {"--no-bos", OPTION_FLAG, NULL, .at = AT(no_bos),
     .help = "leave out the tokens that the model adds at the beginning and the end"},
    {"--special", OPTION_FLAG, NULL, .at = AT(special),
     .help = "control tokens written in the text become those tokens"},
    {"--json", OPTION_FLAG, NULL, .at = AT(json), .help = "print {\"tokens\":[...]}"},
    {0},
};
#undef AT

static const cli_group groups[] = {{"Options", options, 0}, {0}};

static weir_status print_json(const token_list *tokens, weir_error *error) {
    json_t *array = json_array();
    for (int64_t i = 0; i < tokens->count; i++) {
        json_array_append_new(array, json_integer(tokens->items[i]));
    }
    return output_json(json_pack("{s:o}", "tokens", array), error);
}

/* A piece as one line shows it: line ends and other control characters escaped. */
static void print_piece(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n') {
            fputs("\\n", stdout);
        } else if (c < 0x20 || c == 0x7f) {
            printf("\\x%02x", c);
        } else {
            putchar(c);
        }
    }
}

static weir_status print_table(const weir_model *model, const token_list *tokens,
                               weir_error *error) {
    char text[1024];
    for (int64_t i = 0; i < tokens->count; i++) {
        printf("%6d  ", tokens->items[i]);
        print_piece(text, weir_model_token_piece(model, tokens->items[i], text, sizeof text));
        putchar('\n');
    }
    return output_flush(error);
}

static int run(cli_call *call, void *given) {
    const tokenize_arguments *arguments = given;
    weir_error error = {0};
    weir_model *model = NULL;
    byte_buffer text = {0};
    token_list tokens = {0};
    weir_status status = WEIR_OK;
    if (!arguments->text.given) {
        status = weir_error_set(&error, WEIR_USAGE,
                                "which text? Give --text FILE, or --text - for standard input");
    }
    if (status == WEIR_OK) {
        status = open_model(call->model, NULL, true, &model, &error);
    }
    if (status == WEIR_OK) {
        status = input_read(arguments->text.text, &text, &error);
    }
    if (status == WEIR_OK) {
        bool ends = !arguments->no_bos.given;
        status = arguments->special.given
                     ? input_tokenize_special(model, &text, ends, &tokens, &error)
                     : input_tokenize(model, &text, ends, &tokens, &error);
    }
    if (status == WEIR_OK) {
        status = call->json ? print_json(&tokens, &error) : print_table(model, &tokens, &error);
    }
    tokens_free(&tokens);
    bytes_free(&text);
    weir_model_close(model);
    return status == WEIR_OK ? EXIT_DONE : report(call, &error);
}

const cli_command tokenize_command = {
    .name = "tokenize",
    .synopsis = "MODEL.gguf --text FILE [--no-bos] [--special] [--json]",
    .summary = "the tokens of a text, as a stream would see them",
    .notes = "The text is taken byte for byte. A file that holds only a vocabulary is enough.",
    .groups = groups,
    .arguments_size = sizeof(tokenize_arguments),
    .run = run,
    .takes_model = true,
};
