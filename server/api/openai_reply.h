/* The shapes of OpenAI's answers. */
#ifndef WEIR_SERVER_OPENAI_REPLY_H
#define WEIR_SERVER_OPENAI_REPLY_H

#include "api/answer.h"

extern const answer_shape completion_shape; /* /v1/completions */
extern const answer_shape chat_shape;       /* /v1/chat/completions */

#endif
