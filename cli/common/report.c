/* How a command says that it failed. */
#include <jansson.h>
#include <stdio.h>

#include "common/command.h"
#include "common/output.h"

static int exit_status(const cli_call *call, weir_status status) {
    switch (status) {
    case WEIR_USAGE:
        return EXIT_USAGE;
    case WEIR_LIMIT:
        return call->working ? EXIT_FAILED : EXIT_USAGE;
    case WEIR_CANCELLED:
        return EXIT_INTERRUPTED;
    default:
        return EXIT_FAILED;
    }
}

int report(const cli_call *call, const weir_error *error) {
    if (error->message[0] != '\0') {
        char line[sizeof error->message];
        size_t i = 0;
        for (; error->message[i] != '\0'; i++) {
            unsigned char c = (unsigned char)error->message[i];
            line[i] = (char)(c < 0x20 || c == 0x7f ? ' ' : c); /* one line, whatever a path holds */
        }
        line[i] = '\0';
        fprintf(stderr, "weir: %s\n", line);
        if (call->json) {
            output_json(json_pack("{s:{s:s,s:o}}", "error", "status",
                                  weir_status_name(error->status), "message", json_text(line, i)),
                        NULL);
        }
    }
    return exit_status(call, error->status);
}

int report_beside(const cli_call *call, const weir_error *failed, const weir_error *unshown) {
    if (failed == NULL) return unshown == NULL ? EXIT_DONE : report(call, unshown);
    cli_call words = *call;
    words.json = false; /* it stands in the object */
    return report(&words, failed);
}
