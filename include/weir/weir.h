/*
 * weir: language models over endless text, in constant memory.
 *
 * Two nouns carry everything: a model (immutable, shared) and a stream (mutable, one endless
 * context, one thread at a time). This header includes all of the engine.
 */
#ifndef WEIR_WEIR_H
#define WEIR_WEIR_H

#include "weir/batch.h"
#include "weir/chat.h"
#include "weir/detokenize.h"
#include "weir/embed.h"
#include "weir/make_random.h"
#include "weir/memory.h"
#include "weir/message.h"
#include "weir/model.h"
#include "weir/observe.h"
#include "weir/positions.h"
#include "weir/sampling.h"
#include "weir/status.h"
#include "weir/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_VERSION "0.1.0"

/* The version of the library in use, as WEIR_VERSION. */
WEIR_API const char *weir_version(void);

#ifdef __cplusplus
}
#endif
#endif
