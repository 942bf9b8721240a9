/* make_chat_model BASE OUT TEMPLATE: a model like BASE with the marks of every chat format in place
 * of its last tokens, and a chat template. For the scripts of tests/cli. */
#include "support/chat_model.h"

int main(int count, char **arguments) {
    if (count != 4) return 2;
    chat_sample sample = {
        .base = arguments[1], .chat_template = arguments[3], .bos = "<s>", .eos = "</s>"};
    chat_model_write(arguments[2], &sample);
    return 0;
}
