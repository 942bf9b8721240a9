/* /health, /metrics, /v1/models: what whoever runs the server looks at. */
#include <stdlib.h>

#include "api/handlers.h"
#include "http/refusal.h"
#include "http/reply_json.h"
#include "weir/memory.h"

void handle_health(http_request *request) {
    struct server_state *server = request->server;
    const int64_t missing = atomic_load(&server->metrics.streams_not_stored);
    reply_json(request->reply, 200,
               json_pack("{s:s,s:I}", "status", missing == 0 ? "ok" : "degraded",
                         "streams_not_stored", (json_int_t)missing));
}

void handle_metrics(http_request *request) {
    struct server_state *server = request->server;
    text_buffer out = {0};
    atomic_store(&server->metrics.memory_resident_bytes, weir_memory_resident());
    metrics_write(&server->metrics, &out);
    size_t size = out.size;
    reply_whole(request->reply, 200, "text/plain; version=0.0.4; charset=utf-8",
                out.failed ? NULL : text_take(&out), size);
    text_free(&out);
}

void handle_models(http_request *request) {
    struct server_state *server = request->server;
    const weir_model_info *info = weir_model_get_info(server->model);
    json_t *model =
        json_pack("{s:s,s:s,s:I,s:s,s:s,s:I,s:I,s:I,s:s}", "id", server->model_name, "object",
                  "model", "created", (json_int_t)server->opened, "owned_by", "weir", "family",
                  info->family, "parameters", (json_int_t)info->parameters, "trained_context",
                  (json_int_t)info->trained_context, "vocabulary", (json_int_t)info->vocabulary,
                  "chat_format", info->chat_format);
    reply_json(request->reply, 200, json_pack("{s:s,s:[o]}", "object", "list", "data", model));
}
