/* The page at /, its files, and the document of the interface: the program has them all, none is
 * read from a disk. */
#include <stdlib.h>
#include <string.h>

#include "api/embedded.h"
#include "api/handlers.h"
#include "http/refusal.h"

/* Its own files and requests to this server; no frames, no forms that go elsewhere. */
static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

static const char *type_of(const char *name) {
    static const char *const types[][2] = {{".html", "text/html; charset=utf-8"},
                                           {".css", "text/css; charset=utf-8"},
                                           {".js", "text/javascript; charset=utf-8"},
                                           {".json", REPLY_JSON}};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(dot, types[i][0]) == 0) {
            return types[i][1];
        }
    }
    return REPLY_TEXT;
}

static void reply_file(http_request *request, const char *name) {
    const embedded_file *file = page_files;
    while (file->name != NULL && strcmp(file->name, name) != 0) {
        file++;
    }
    if (file->name == NULL) {
        refuse(request->reply, 404, "not_found", "the page has no such file");
        return;
    }
    char *body = malloc(file->size + 1);
    if (body == NULL) {
        handler_no_memory(request);
        return;
    }
    memcpy(body, file->data, file->size);
    reply_header(request->reply, "Content-Security-Policy", policy);
    reply_header(request->reply, "Referrer-Policy", "no-referrer");
    reply_header(request->reply, "Cache-Control", "no-cache");
    reply_whole(request->reply, 200, type_of(name), body, file->size);
}

void handle_page(http_request *request) { reply_file(request, "index.html"); }
void handle_document(http_request *request) { reply_file(request, "openapi.json"); }
void handle_page_file(http_request *request) { reply_file(request, request->parts[0]); }
