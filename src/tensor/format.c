/*
 * The table of formats that weir computes with, and the names of those it only recognises.
 */
#include "tensor/format.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

static const wr_format_info formats[] = {
#define ROW(name, number, block, bytes) {WR_##name, #name, block, bytes},
    WR_FORMAT_MAP(ROW)
#undef ROW
};

enum { FORMATS = sizeof formats / sizeof formats[0] };

/* Every other number that GGUF files have used. */
static const struct {
    uint32_t number;
    const char *name;
} foreign[] = {
    {4, "Q4_2"},    {5, "Q4_3"},        {9, "Q8_1"},        {15, "Q8_K"},       {16, "IQ2_XXS"},
    {17, "IQ2_XS"}, {18, "IQ3_XXS"},    {19, "IQ1_S"},      {21, "IQ3_S"},      {22, "IQ2_S"},
    {24, "I8"},     {25, "I16"},        {26, "I32"},        {27, "I64"},        {28, "F64"},
    {29, "IQ1_M"},  {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"},   {33, "Q4_0_8_8"},   {34, "TQ1_0"},
    {35, "TQ2_0"},  {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"}, {40, "NVFP4"},
    {41, "Q1_0"},   {42, "Q2_0"},
};

const wr_format_info *wr_format_find(uint32_t number) {
    for (int i = 0; i < FORMATS; i++) {
        if ((uint32_t)formats[i].format == number) return &formats[i];
    }
    return NULL;
}

const wr_format_info *wr_format_named(const char *name) {
    for (int i = 0; i < FORMATS; i++) {
        if (strcasecmp(formats[i].name, name) == 0) return &formats[i];
    }
    return NULL;
}

size_t wr_format_row_bytes(wr_format format, int64_t weights) {
    const wr_format_info *info = wr_format_find((uint32_t)format);
    assert(info != NULL && weights >= 0 && weights % info->block == 0);
    return (size_t)(weights / info->block) * (size_t)info->bytes;
}

const char *wr_format_foreign_name(uint32_t number) {
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        if (foreign[i].number == number) return foreign[i].name;
    }
    return NULL;
}
