/*
 * The forward pass inside: its scratch, and what its files do for each other.
 *
 *     forward.c            chunks, embeddings, logits
 *     forward_block.c      one block: norms and halves
 *     forward_linear.c     matrix products, with what they read prepared
 *     forward_attention.c  positions, cache and attention
 */
#ifndef WR_FORWARD_INSIDE_H
#define WR_FORWARD_INSIDE_H

#include "model/forward.h"

/* What a token may attend, as numbers in its group's sequences of pages. */
typedef struct wr_token_spans {
    wr_kv_span pinned;
    wr_kv_span recent;
    int32_t pinned_at, recent_at; /* where its query stands there: c(t), and t itself */
} wr_token_spans;

/* Rows of one segment. */
typedef struct wr_token_tile {
    int64_t begin, end;
} wr_token_tile;

struct wr_forward {
    const weir_model *model;
    wr_threads *threads;
    int64_t chunk;
    float *x;                   /* [chunk, width] the residual stream */
    float *normed;              /* [chunk, width] */
    float *added;               /* [chunk, width] what a half block adds to x */
    float *q;                   /* [chunk, heads * key_dim] rotated at t */
    float *q_pinned;            /* [chunk, heads * key_dim] rotated at c(t) */
    float *k;                   /* [chunk, kv_heads * key_dim] */
    float *v;                   /* [chunk, kv_heads * value_dim] */
    float *attended;            /* [chunk, heads * value_dim] */
    float *gate;                /* [slots, feed_forward], slots = chunk without experts */
    float *up;                  /* [slots, feed_forward] */
    float *angles;              /* [chunk, ropes, 2, rotary_dim]: at t, at c(t) */
    bool *turned;               /* [chunk] c(t) differs from t */
    uint8_t *inputs[WR_INPUTS]; /* [slots] rows of what products read; NULL: no weight takes it */
    size_t input_bytes[WR_INPUTS];
    uint8_t *scratch; /* [threads, scratch_bytes] */
    size_t scratch_bytes;
    wr_cache_view *views;       /* [segments, groups] the pages of a segment */
    const uint8_t **pages;      /* [segments, groups, max_pages] */
    wr_token_spans *spans;      /* [groups, chunk] */
    wr_attention_token *tokens; /* [threads, tile] */
    int32_t max_pages;
    int32_t groups;
    int32_t *segment_of; /* [chunk] the segment that a row belongs to */

    /* Experts (forward_experts.c): choice k of row i is number i * used + k, and has a slot. */
    float *routed;        /* [chunk, experts] */
    int32_t *chosen;      /* [chunk, used] */
    float *expert_shares; /* [chunk, used] */
    int32_t *slots;       /* [chunk, used] of each choice */
    int32_t *slot_rows;   /* [slots] */
    int32_t *first_slots; /* [experts + 1] of each expert */
    int32_t *active;      /* [experts] those that have slots */
    int32_t active_count;
    float *gathered; /* [slots, width] rows, then outputs */

    wr_token_tile *tiles; /* [chunk] whose queries attend together */

    /* The chunk at hand. */
    wr_segment *segments; /* borrowed */
    int32_t segment_count;
    int64_t count; /* rows of all segments */
    int64_t tile_count;
};

/* The segment that a row of the chunk belongs to. */
static inline const wr_segment *wr_segment_at(const wr_forward *f, int64_t row) {
    return &f->segments[f->segment_of[row]];
}

/* The stream index of a row. */
static inline int64_t wr_index_at(const wr_forward *f, int64_t row) {
    const wr_segment *segment = wr_segment_at(f, row);
    return segment->first + row - segment->row;
}

/* forward.c */
/* Run a task over items; alone when all of it is little `work` (multiplications). Items are claimed
 * in enough runs that a slow thread only claims fewer. */
void wr_forward_run(wr_forward *f, int64_t items, int64_t work, wr_task task, void *context);
/* Rows [count, columns] of the chunk to whoever watches their streams. */
void wr_forward_show(const wr_forward *f, weir_point point, int layer, const float *data,
                     int64_t columns);

/* forward_block.c */
/* y = norm(x), n numbers, as the model's family norms; y may be x. */
void wr_normalise(const weir_model *m, float *y, const float *x, const wr_norm *norm, int64_t n);
/* Shares of the rows that the chunk's blocks are divided into; 0: their steps are divided. */
int64_t wr_forward_count_shares(const wr_forward *f);
void wr_forward_block(wr_forward *f, int32_t layer, int64_t shares);
/* Rows [begin, end) of gate and up become act(gate) * up, or of up alone act(up). */
void wr_forward_activate(wr_forward *f, int64_t begin, int64_t end);
/* What the last block adds. */
void wr_forward_finish(wr_forward *f);

/* forward_linear.c */
/* A weight and where its product goes: [batch, rows]. */
typedef struct wr_weighted {
    const wr_linear *linear;
    float *y;
} wr_weighted;
/* The most columns of a matrix. */
int64_t wr_most_columns(const weir_model *model);
/* Panels [panel_begin, panel_end) for rows [begin, end). */
typedef struct wr_piece {
    int64_t panel_begin, panel_end;
    int64_t begin, end;
} wr_piece;
/* A piece of one product with its bias, computed by the caller alone: from rows of x, or of
 * `inputs`, where they have been prepared. */
void wr_forward_multiply(const wr_forward *f, const float *x, const wr_weighted *product,
                         wr_piece at, int worker);
/* The product after the next one will be of these weights: threads that wait ask for the panels
 * with which they will begin. */
void wr_forward_expect(wr_forward *f, const wr_linear *const *linears, int count);
/* Those of the block `layer`, or of the head behind the last one. */
void wr_forward_expect_block(wr_forward *f, int32_t layer);
/* Products of rows x [batch, columns], batch <= chunk, with `count` weights. */
void wr_forward_linear(wr_forward *f, const float *x, int64_t batch, const wr_weighted *products,
                       int count);

/* Rows [begin, end) of the chunk, all tiles [tile, tile_end) of queries, in the hands of a worker.
 */
typedef struct wr_rows {
    int64_t begin, end;
    int64_t tile, tile_end;
    int worker;
} wr_rows;
/* The same products for some rows, computed by the caller alone. */
void wr_forward_linear_rows(wr_forward *f, const wr_rows *rows, const float *x,
                            const wr_weighted *products, int count);

/* forward_experts.c */
/* `added` of the chunk's rows [chunk, width], by the experts that each chooses. */
void wr_forward_experts(wr_forward *f, const wr_block *block, const float *rows);

/* forward_attention.c */
/* Floats of a row of angles. */
static inline int64_t wr_angles_of_row(const weir_model *m) {
    return (int64_t)m->rope_count * 2 * m->rotary_dim;
}
/* Those of a row for one of the model's ropes: at t, then at c(t). */
static inline float *wr_angles_at(const wr_forward *f, int64_t row, int32_t rope) {
    return f->angles + row * wr_angles_of_row(f->model) + (int64_t)rope * 2 * f->model->rotary_dim;
}
/* Once per chunk: angles, and what each token may attend. */
void wr_forward_place(wr_forward *f);
/* q, k, v of the chunk rotated, the cache written, and `attended`. */
void wr_forward_attend(wr_forward *f, int32_t layer);
/* Its two halves for some rows, computed by the caller alone; between them all rows' keys must have
 * been written. */
void wr_forward_rotate_rows(wr_forward *f, int32_t layer, const wr_rows *rows);
void wr_forward_attend_rows(wr_forward *f, int32_t layer, const wr_rows *rows);

#endif
