/*
 * The ways to multiply.
 */
#include "train/kernels/products.h"

#include <stdio.h>
#include <string.h>

#include "train/kernels/products_inside.h"

/* Fastest first. To add one: its table, its line here and in products_inside.h. */
static const wr_products *const tables[] = {
#if defined(WR_X86_KERNELS) && !defined(WR_TRAIN_DOUBLE)
    &wr_products_bf16,
#endif
    &wr_products_float32,
};
enum { TABLES = sizeof tables / sizeof tables[0] };

/* "bfloat16, float32" */
static void list_names(char *text, size_t size) {
    size_t used = 0;
    for (int i = 0; i < TABLES; i++) {
        int wrote = snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "", tables[i]->name);
        used += (size_t)wrote;
    }
}

const wr_products *wr_products_find(const char *name, weir_error *error) {
    const bool any = strcmp(name, "auto") == 0;
    for (int i = 0; i < TABLES; i++) {
        if (!any && strcmp(name, tables[i]->name) != 0) continue;
        if (tables[i]->runs_here()) return tables[i];
        if (any) continue;
        weir_error_set(error, WEIR_UNSUPPORTED, "this machine cannot multiply in %s", name);
        return NULL;
    }
    char names[128];
    list_names(names, sizeof names);
    weir_error_set(error, WEIR_USAGE, "no products are called \"%s\"; there are auto, %s", name,
                   names);
    return NULL;
}
