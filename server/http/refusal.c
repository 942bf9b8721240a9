#include "http/refusal.h"
#include "http/reply_json.h"

int refusal_status(weir_status status) {
    switch (status) {
    case WEIR_USAGE:
    case WEIR_LIMIT:
    case WEIR_UNSUPPORTED:
        return 400;
    case WEIR_EVICTED:
    case WEIR_MISMATCH:
        return 409;
    case WEIR_MEMORY:
    case WEIR_CANCELLED:
        return 503;
    default:
        return 500;
    }
}

static const char *type_of(int status) {
    return status == 401   ? "authentication_error"
           : status == 429 ? "rate_limit_error"
           : status >= 500 ? "server_error"
                           : "invalid_request_error";
}

json_t *refusal_json(int status, const char *code, const char *message) {
    return json_pack("{s:{s:s,s:s,s:n,s:s?}}", "error", "message", message, "type", type_of(status),
                     "param", "code", code);
}

void refuse(server_reply *reply, int status, const char *code, const char *message) {
    if (status == 429 || status == 503) {
        reply_header(reply, "Retry-After", "1");
    }
    if (status == 401) {
        reply_header(reply, "WWW-Authenticate", "Bearer");
    }
    reply_json(reply, status, refusal_json(status, code, message));
}

void refuse_error(server_reply *reply, const weir_error *error) {
    refuse(reply, refusal_status(error->status), weir_status_name(error->status), error->message);
}
