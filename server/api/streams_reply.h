/* The shape of text that a stream was asked for. */
#ifndef WEIR_SERVER_STREAMS_REPLY_H
#define WEIR_SERVER_STREAMS_REPLY_H

#include "api/answer.h"

extern const answer_shape stream_shape;

#endif
