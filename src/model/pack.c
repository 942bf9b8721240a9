/*
 * Packing at load: the matrices that products read are rearranged into panels (tensor/packed.h),
 * one behind the other in one block of memory.
 *
 * The file's pages behind a matrix are given back to the system as soon as its panels are written,
 * so the model is never in memory twice. The rows stay readable where the file has them: embeddings
 * are looked up there, and a model opened without packing computes from there, with the same bits.
 */
#include "base/clock.h"
#include "base/file.h"
#include "model/network.h"

enum {
    BLOCK_MATRICES = 8,
    HUGE_PAGE = 2 << 20,
    PROGRESS_PANELS = 64 /* between two words to the caller */
};

/* Matrices of a block: those of the table below, the router, and every expert's. */
static int64_t block_matrices(const weir_model *m) {
    return BLOCK_MATRICES + (int64_t)WR_EXPERT_PARTS * m->experts;
}

/* Matrix i of the products, in the order in which a token meets them; NULL: there is none. A matrix
 * of less than a panel stays where it is: padding would make it larger than it was. */
static wr_matrix *matrix_at(weir_model *m, int64_t i) {
    const int64_t of_block = block_matrices(m);
    wr_matrix *matrix = &m->head.matrix;
    if (i < (int64_t)m->layers * of_block) {
        wr_block *b = &m->blocks[i / of_block];
        wr_linear *const linears[BLOCK_MATRICES] = {&b->q,    &b->k,  &b->v,    &b->out,
                                                    &b->gate, &b->up, &b->down, &b->router};
        const int64_t n = i % of_block;
        matrix = n < BLOCK_MATRICES ? &linears[n]->matrix : &b->experts[n - BLOCK_MATRICES].matrix;
    }
    return matrix->data && matrix->rows >= WR_PANEL_ROWS ? matrix : NULL;
}

static int64_t matrix_count(const weir_model *m) { return m->layers * block_matrices(m) + 1; }

static size_t packed_size(const wr_matrix *w) {
    return (size_t)wr_panel_count(w->rows) * wr_panel_measure(w->format, w->columns).bytes;
}

static size_t measure(weir_model *m) {
    size_t bytes = 0;
    for (int64_t i = 0; i < matrix_count(m); i++) {
        const wr_matrix *w = matrix_at(m, i);
        if (w) bytes += packed_size(w);
    }
    return bytes;
}

typedef struct packing {
    const weir_model_options *options;
    uint8_t *at; /* where the next panel goes */
    int64_t done, total;
} packing;

static void pack_matrix(packing *job, wr_matrix *w) {
    const size_t bytes = wr_panel_measure(w->format, w->columns).bytes;
    const int64_t panels = wr_panel_count(w->rows);
    w->panels = job->at;
    for (int64_t i = 0; i < panels; i++) {
        wr_panel_pack(w->format, w->data, w->rows, w->columns, i, job->at);
        job->at += bytes;
        job->done += (int64_t)bytes;
        if (job->options && job->options->progress && (i + 1) % PROGRESS_PANELS == 0)
            job->options->progress(job->options->progress_context, job->done, job->total);
    }
    wr_map_forget(w->data, (size_t)w->rows * wr_format_row_bytes(w->format, w->columns));
}

weir_status wr_model_pack(weir_model *m, const weir_model_options *options, weir_error *error) {
    const double start = wr_clock_seconds();
    const size_t bytes = measure(m);
    if (!m->kernels->reads_panels || bytes == 0) return WEIR_OK;
    /* Room to begin at a huge page: fewer page faults now, fewer misses of the TLB for ever. */
    const bool large = bytes >= HUGE_PAGE;
    m->packed_block = bytes + (large ? HUGE_PAGE : 0);
    m->packed = wr_allocate(wr_model_allocator(m), m->packed_block);
    if (!m->packed)
        return weir_error_set(error, WEIR_MEMORY,
                              "%s: no memory for its weights, %zu MiB: --no-repack computes from "
                              "the file",
                              m->info.path, bytes >> 20);
    packing job = {.options = options, .total = (int64_t)bytes};
    job.at = m->packed + (large ? -(uintptr_t)m->packed % HUGE_PAGE : 0);
    if (large) wr_advise_huge(job.at, bytes);
    for (int64_t i = 0; i < matrix_count(m); i++) {
        wr_matrix *w = matrix_at(m, i);
        if (w) pack_matrix(&job, w);
    }
    m->info.packed_bytes = (int64_t)bytes;
    m->info.packed_seconds = wr_clock_seconds() - start;
    return WEIR_OK;
}
