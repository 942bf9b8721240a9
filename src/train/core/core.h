/*
 * The model in training: parameters, forward and backward over a batch of samples, AdamW.
 *
 * A sample is context + 1 tokens: the first `context` are fed, and each is scored on the one after
 * it. With the sink "token" a sample's first token is the sink's (the caller puts it there), and
 * what it is scored on is how a stream begins. Positions count from 0 in each sample; samples do
 * not see each other.
 *
 * All memory is planned and taken at creation. Nothing here depends on how many threads compute:
 * the same calls give the same bits.
 */
#ifndef WR_CORE_H
#define WR_CORE_H

#include "base/allocate.h"
#include "base/threads.h"
#include "train/core/parameters.h"
#include "train/kernels/products.h"
#include "train/kernels/real.h"

typedef struct wr_core wr_core;

typedef struct wr_core_options {
    weir_train_shape shape;
    int64_t samples; /* computed together, at most */
    const wr_products *products;
    wr_threads *threads; /* shared: the core takes a reference */
    const weir_allocator *allocator;
} wr_core_options;

/* AdamW (Loshchilov & Hutter 2019) with decoupled decay, after clipping to a norm. */
typedef struct wr_core_update {
    double rate;
    double beta1, beta2, epsilon;
    double decay;          /* parameter -= rate * decay * parameter, where it decays */
    double clip;           /* of the norm of all gradients; 0: none */
    double gradient_scale; /* what the sums of gradients are multiplied with first: 1 / scored */
    int64_t step;          /* 1 for the first update */
} wr_core_update;

/* Bytes that creation takes. */
size_t wr_core_plan(const wr_core_options *options);
weir_status wr_core_create(const wr_core_options *options, wr_core **out, weir_error *error);
void wr_core_destroy(wr_core *core);

/* Draw the parameters from a seed; clear moments and gradients. The same seed gives shared tensors
 * the same values whatever the sink. */
void wr_core_start(wr_core *core, uint64_t seed);

/* The arrays that a checkpoint keeps and MPI sums, each wr_parameters_size(shape) numbers. */
real *wr_core_parameters(wr_core *core);
real *wr_core_gradients(wr_core *core);
real *wr_core_moments(wr_core *core, int which); /* 0: first, 1: second */
/* After parameters were written from outside. */
void wr_core_parameters_changed(wr_core *core);

/* Forward and backward over `samples` samples [samples, context + 1]: gradients of the summed
 * negative log-likelihood are added. *nll gets the sum in nats, *scored how many tokens it is of.
 * WEIR_NAN names the layer and the part where the first number went wrong. */
weir_status wr_core_learn(wr_core *core, const int32_t *tokens, int64_t samples, double *nll,
                          int64_t *scored, weir_error *error);
/* The same forward pass alone; scores (may be NULL) gets each token's nll, [samples, context]. */
weir_status wr_core_score(wr_core *core, const int32_t *tokens, int64_t samples, double *nll,
                          int64_t *scored, float *scores, weir_error *error);

/* One step of AdamW; then gradients are cleared. *norm gets the norm before clipping. WEIR_NAN
 * names the tensor and leaves all parameters as they were. */
weir_status wr_core_step(wr_core *core, const wr_core_update *update, double *norm,
                         weir_error *error);

/* Mean attention that queries 1 ... context-1 give to token 0, and to the sink term of the softmax
 * (0 without one): out[layers][heads][2]. A forward pass over the samples. */
weir_status wr_core_sinks(wr_core *core, const int32_t *tokens, int64_t samples, double *out,
                          weir_error *error);

/* Floating-point operations of learning from one token, attention included: 6 for each weight of a
 * matrix, head included, and 12 * heads * head_dim for each key that it sees on average, per layer.
 */
double wr_core_operations(const weir_train_shape *shape);

#endif
