/* The page's files, which the program carries with it: made by tools/embed.c from web/. */
#ifndef WEIR_SERVER_EMBEDDED_H
#define WEIR_SERVER_EMBEDDED_H

#include <stddef.h>

typedef struct embedded_file {
    const char *name; /* "index.html"; NULL ends the list */
    const unsigned char *data;
    size_t size;
} embedded_file;

extern const embedded_file page_files[];

#endif
