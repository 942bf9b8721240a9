/*
 * Sizes and names of cache rows.
 */
#include "tensor/kv.h"

#include <assert.h>
#include <stdbool.h>

size_t wr_kv_row_bytes(wr_kv_type type, int32_t dim) {
    assert(dim > 0);
    size_t n = (size_t)dim;
    switch (type) {
    case WR_KV_F32:
        return 4 * n;
    case WR_KV_F16:
        return 2 * n;
    case WR_KV_Q8_0:
        return (n + 31) / 32 * 2 + n;
    case WR_KV_TYPES:
        break;
    }
    assert(false && "a kv type");
    return 0;
}

const char *wr_kv_type_name(wr_kv_type type) {
    static const char *const names[WR_KV_TYPES] = {"f32", "f16", "q8_0"};
    return (unsigned)type < WR_KV_TYPES ? names[type] : "unknown";
}
