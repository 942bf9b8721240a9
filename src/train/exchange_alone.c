/* One process: what it has is what all have. */
#include <string.h>

#include "train/exchange.h"

static void gather(const void *mine, void *all, size_t size) { memcpy(all, mine, size); }

static void share(void *bytes, size_t size) {
    (void)bytes;
    (void)size;
}

const wr_exchange_ways wr_exchange_alone = {"alone", gather, share};
