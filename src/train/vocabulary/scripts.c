/* Scripts of characters: see scripts.h. */
#include "train/vocabulary/scripts.h"

uint8_t wr_script_of(uint32_t character) {
    size_t low = 0, high = wr_script_table_size;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const wr_script_range *range = &wr_script_table[middle];
        if (character < range->first)
            high = middle;
        else if (character > range->last)
            low = middle + 1;
        else
            return range->script;
    }
    return WR_SCRIPT_COMMON;
}
