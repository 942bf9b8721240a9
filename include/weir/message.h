/* A message of a conversation: see weir/chat.h. */
#ifndef WEIR_MESSAGE_H
#define WEIR_MESSAGE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum weir_role { WEIR_ROLE_SYSTEM, WEIR_ROLE_USER, WEIR_ROLE_ASSISTANT } weir_role;

typedef struct weir_message {
    weir_role role;
    const char *text; /* borrowed; UTF-8, not NUL-terminated */
    size_t size;      /* bytes */
} weir_message;

#ifdef __cplusplus
}
#endif
#endif
