/* Every method and path that the server knows. To add one: a row here, and its handler declared in
 * handlers.h. */
#include "api/handlers.h"

const http_route server_routes[] = {
    {"GET", "/", BODY_NONE, true, handle_page},
    {"GET", "/web/:", BODY_NONE, true, handle_page_file},
    {"GET", "/openapi.json", BODY_NONE, true, handle_document},
    {"GET", "/health", BODY_NONE, true, handle_health},
    {"GET", "/metrics", BODY_NONE, false, handle_metrics},
    {"GET", "/v1/models", BODY_NONE, false, handle_models},
    {"POST", "/v1/completions", BODY_WHOLE, false, handle_completions},
    {"POST", "/v1/chat/completions", BODY_WHOLE, false, handle_chat},
    {"POST", "/v1/embeddings", BODY_WHOLE, false, handle_embeddings},
    {"POST", "/v1/streams", BODY_WHOLE, false, handle_create_stream},
    {"GET", "/v1/streams", BODY_NONE, false, handle_list_streams},
    {"GET", "/v1/streams/:", BODY_NONE, false, handle_stream_state},
    {"DELETE", "/v1/streams/:", BODY_NONE, false, handle_delete_stream},
    {"POST", "/v1/streams/:/append", BODY_ARRIVES, false, handle_append},
    {"POST", "/v1/streams/:/generate", BODY_WHOLE, false, handle_generate},
    {"POST", "/v1/streams/:/ask", BODY_WHOLE, false, handle_ask},
    {"POST", "/v1/streams/:/fork", BODY_WHOLE, false, handle_fork},
    {"POST", "/v1/streams/:/marks", BODY_WHOLE, false, handle_mark},
    {"DELETE", "/v1/streams/:/marks/:", BODY_NONE, false, handle_unmark},
    {"POST", "/v1/streams/:/rewind", BODY_WHOLE, false, handle_rewind},
    {"GET", "/v1/streams/:/text", BODY_NONE, false, handle_text},
    {"GET", "/v1/streams/:/events", BODY_NONE, false, handle_events},
    {0},
};

const http_route server_encoder_routes[] = {
    {"GET", "/openapi.json", BODY_NONE, true, handle_document},
    {"GET", "/health", BODY_NONE, true, handle_health},
    {"GET", "/metrics", BODY_NONE, false, handle_metrics},
    {"GET", "/v1/models", BODY_NONE, false, handle_models},
    {"POST", "/v1/embeddings", BODY_WHOLE, false, handle_embeddings},
    {"POST", "/v1/completions", BODY_NONE, false, handle_no_streams},
    {"POST", "/v1/chat/completions", BODY_NONE, false, handle_no_streams},
    {"POST", "/v1/streams", BODY_NONE, false, handle_no_streams},
    {0},
};
