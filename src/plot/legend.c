/* The legend: see legend.h. */
#include "plot/legend.h"

#include <math.h>

#include "plot/colour.h"

#define INSET 8.0
#define ROW 24.0
#define SAMPLE 40.0 /* the width of a piece of line */
#define SQUARE 16.0
#define TEXT 16.0

static const wr_plot_style text_style = {.size = TEXT, .colour = {34, 34, 34}};
static const wr_plot_style bold_style = {.size = TEXT, .colour = {34, 34, 34}, .bold = true};

static double sample_width(const wr_plot_legend *legend) { return legend->bars ? SQUARE : SAMPLE; }

void wr_plot_legend_add(wr_plot_legend *legend, wr_plot_canvas *canvas, size_t series,
                        const char *name, double longest) {
    if (name == NULL || name[0] == '\0' || legend->count == WEIR_PLOT_SERIES_MAX) return;
    wr_plot_legend_entry *entry = &legend->entries[legend->count++];
    entry->series = series;
    double width = wr_plot_label_fit(canvas, entry->text, name, &text_style, longest);
    legend->width = fmax(legend->width, width + sample_width(legend) + 8 + 2 * INSET);
    legend->height = fmax(legend->height, 2 * INSET) + ROW;
}

void wr_plot_legend_title(wr_plot_legend *legend, wr_plot_canvas *canvas, const char *title,
                          double longest) {
    double width = wr_plot_label_fit(canvas, legend->title, title, &bold_style, longest);
    if (legend->count == 0 || legend->title[0] == '\0') {
        legend->title[0] = '\0';
        return;
    }
    legend->width = fmax(legend->width, width + 2 * INSET);
    legend->height += ROW;
}

/* Liang and Barsky: the part of a + t (b - a), t in 0 … 1, that is inside of all four edges. */
bool wr_plot_segment_touches(wr_plot_point a, wr_plot_point b, const wr_plot_box *box) {
    double dx = b.x - a.x, dy = b.y - a.y;
    double direction[4] = {-dx, dx, -dy, dy};
    double distance[4] = {a.x - box->left, box->right - a.x, a.y - box->top, box->bottom - a.y};
    double enter = 0, leave = 1;
    for (int edge = 0; edge < 4; edge++) {
        if (direction[edge] == 0) {
            if (distance[edge] < 0) return false;
            continue;
        }
        double t = distance[edge] / direction[edge];
        if (direction[edge] < 0)
            enter = fmax(enter, t);
        else
            leave = fmin(leave, t);
    }
    return enter <= leave;
}

static bool crosses(const wr_plot_path *path, const wr_plot_box *box) {
    for (size_t i = 0; i < path->count; i++) {
        if (isnan(path->points[i].x)) continue;
        size_t next = i + 1 < path->count && !isnan(path->points[i + 1].x) ? i + 1 : i;
        if (wr_plot_segment_touches(path->points[i], path->points[next], box)) return true;
    }
    return false;
}

bool wr_plot_legend_place(const wr_plot_legend *legend, const wr_plot_box *box,
                          const wr_plot_path *const *paths, size_t path_count, wr_plot_point *at) {
    /* shares of the free width and height, the best first */
    static const wr_plot_point places[] = {{1, 0},   {0, 0},   {1, 1},   {0, 1},
                                           {0.5, 0}, {1, 0.5}, {0.5, 1}, {0, 0.5}};
    double margin = 10, around = 6;
    double free_width = box->right - box->left - legend->width - 2 * margin;
    double free_height = box->bottom - box->top - legend->height - 2 * margin;
    if (free_width < 0 || free_height < 0) return false;
    for (size_t place = 0; place < sizeof places / sizeof *places; place++) {
        at->x = box->left + margin + free_width * places[place].x;
        at->y = box->top + margin + free_height * places[place].y;
        wr_plot_box here = {at->x - around, at->y - around, at->x + legend->width + around,
                            at->y + legend->height + around};
        bool free = true;
        for (size_t i = 0; i < path_count && free; i++) free = !crosses(paths[i], &here);
        if (free) return true;
    }
    return false;
}

static void draw_sample(const wr_plot_legend *legend, wr_plot_canvas *canvas, size_t series,
                        wr_plot_point at, bool marked) {
    if (legend->bars) {
        wr_plot_box square = {at.x, at.y - SQUARE / 2, at.x + SQUARE, at.y + SQUARE / 2};
        wr_plot_rectangle(canvas, square, wr_plot_series_colour(series));
        return;
    }
    wr_plot_stroke stroke = wr_plot_series_stroke(series, 2.4);
    wr_plot_segment(canvas, at.x, at.y, at.x + SAMPLE, at.y, &stroke);
    if (!marked) return;
    wr_plot_path mark = {0};
    wr_plot_series_mark(&mark, series, at.x + SAMPLE / 2, at.y, 5);
    wr_plot_fill(canvas, &mark, stroke.colour);
    wr_plot_path_release(&mark);
}

void wr_plot_legend_draw(const wr_plot_legend *legend, wr_plot_canvas *canvas, wr_plot_point at,
                         const bool *marked) {
    if (legend->count == 0) return;
    wr_plot_box box = {at.x, at.y, at.x + legend->width, at.y + legend->height};
    wr_plot_rectangle(canvas, box, (wr_plot_colour){200, 200, 200});
    wr_plot_box inside = {box.left + 1, box.top + 1, box.right - 1, box.bottom - 1};
    wr_plot_rectangle(canvas, inside, wr_plot_paper);
    double middle = at.y + INSET + ROW / 2;
    if (legend->title[0] != '\0') {
        wr_plot_text(canvas, at.x + INSET, middle + TEXT * 0.36, legend->title, &bold_style);
        middle += ROW;
    }
    for (size_t i = 0; i < legend->count; i++) {
        const wr_plot_legend_entry *entry = &legend->entries[i];
        draw_sample(legend, canvas, entry->series, (wr_plot_point){at.x + INSET, middle},
                    marked != NULL && marked[entry->series]);
        wr_plot_text(canvas, at.x + INSET + sample_width(legend) + 8, middle + TEXT * 0.36,
                     entry->text, &text_style);
        middle += ROW;
    }
}
