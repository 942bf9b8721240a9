/* Labels: see label.h. */
#include "plot/label.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char ellipsis[] = "\xe2\x80\xa6";

/* Bytes of the UTF-8 character at `text`; 0 when there is none: overlong, a surrogate, beyond
 * Unicode, cut short, or one of the two that XML forbids (U+FFFE, U+FFFF). */
static size_t character_size(const unsigned char *text) {
    if (text[0] < 0x80) return 1;
    size_t size = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : text[0] >= 0xc2 ? 2 : 0;
    if (size == 0 || text[0] > 0xf4) return 0;
    uint32_t code = text[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0; /* the NUL at the end, too */
        code = code << 6 | (text[i] & 0x3fu);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return 0;
    return code == 0xfffe || code == 0xffff ? 0 : size;
}

void wr_plot_label_clean(char out[WR_PLOT_LABEL], const char *label) {
    const unsigned char *in = (const unsigned char *)(label != NULL ? label : "");
    size_t used = 0;
    while (*in != '\0') {
        size_t size = character_size(in);
        const void *from = size > 0 ? (const void *)in : "\xef\xbf\xbd";
        size_t written = size > 0 ? size : 3;
        bool control = *in < 0x20 || *in == 0x7f || (in[0] == 0xc2 && in[1] < 0xa0);
        if (control && size > 0) {
            from = " ";
            written = 1;
        }
        if (used + written + sizeof ellipsis > WR_PLOT_LABEL) {
            memcpy(out + used, ellipsis, sizeof ellipsis - 1);
            used += sizeof ellipsis - 1;
            break;
        }
        memcpy(out + used, from, written);
        used += written;
        in += size > 0 ? size : 1;
    }
    out[used] = '\0';
}

/* The first `size` bytes of `text`, back to the start of a character, and "…". */
static void cut(char out[WR_PLOT_LABEL], const char *text, size_t size) {
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80) size--;
    while (size > 0 && text[size - 1] == ' ') size--;
    memcpy(out, text, size);
    memcpy(out + size, ellipsis, sizeof ellipsis);
}

double wr_plot_label_fit(wr_plot_canvas *canvas, char out[WR_PLOT_LABEL], const char *label,
                         const wr_plot_style *style, double width) {
    char whole[WR_PLOT_LABEL];
    wr_plot_label_clean(whole, label);
    strcpy(out, whole);
    double measured = wr_plot_text_width(canvas, out, style);
    if (measured <= width || out[0] == '\0') return measured;
    size_t fits = 0, beyond = strlen(whole) - 1;
    if (beyond > WR_PLOT_LABEL - sizeof ellipsis) beyond = WR_PLOT_LABEL - sizeof ellipsis;
    while (beyond - fits > 1) {
        size_t middle = fits + (beyond - fits) / 2;
        cut(out, whole, middle);
        if (wr_plot_text_width(canvas, out, style) <= width)
            fits = middle;
        else
            beyond = middle;
    }
    cut(out, whole, fits);
    return wr_plot_text_width(canvas, out, style);
}

void wr_plot_value_text(char out[32], double value, bool whole) {
    double size = fabs(value);
    if (size > 0 && (size >= 1e6 || size < 1e-4)) {
        snprintf(out, 32, "%.3g", value);
        return;
    }
    int decimals = size >= 1000 ? 0 : size >= 100 ? 1 : 2;
    if (whole || size == 0)
        decimals = 0;
    else if (size < 1)
        decimals = 2 - (int)floor(log10(size));
    snprintf(out, 32, "%.*f", decimals, value);
}
