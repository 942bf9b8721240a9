/* How much memory the machine has to give. */
#ifndef WR_AVAILABLE_H
#define WR_AVAILABLE_H

#include <stdint.h>

/* Bytes that a program can take without pushing others out: MemAvailable, or what the limits of its
 * control group leave when that is less; -1 where the system does not tell. */
int64_t wr_available_memory(void);

#endif
