/* The log: one JSON object a line on stderr, for every request that is answered and for what the
 * server itself has to say. */
#ifndef WEIR_SERVER_LOG_H
#define WEIR_SERVER_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/status.h"

void log_silence(void); /* nothing more is written */
/* {"time":…,"event":"listening","message":"…"} */
void log_event(const char *event, const char *format, ...) WEIR_FORMAT(2, 3);
void log_request(const char *method, const char *route, int status, double seconds, size_t bytes);

#endif
