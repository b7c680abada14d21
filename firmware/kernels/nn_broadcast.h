/* Two inputs brought to one shape: an axis of length 1 is read again and again. */
#ifndef NN_BROADCAST_H
#define NN_BROADCAST_H

#include "nn.h"

typedef struct {
    int16_t shape[4];   /* of the output */
    int16_t a[4], b[4]; /* how far one step along each axis moves in either input; 0: broadcast */
} nn_broadcast_t;

typedef struct {
    int32_t a, b; /* where the inputs of one output row start */
} nn_row_t;

static inline int32_t nn_broadcast_rows(NN_ROM nn_broadcast_t *p)
{
    return (int32_t)p->shape[0] * p->shape[1] * p->shape[2];
}

/* Row `row` of the output, which runs along the last axis. */
static inline nn_row_t nn_broadcast_row(NN_ROM nn_broadcast_t *p, int32_t row)
{
    int32_t k = row % p->shape[2], ij = row / p->shape[2];
    int32_t j = ij % p->shape[1], i = ij / p->shape[1];
    return (nn_row_t){i * p->a[0] + j * p->a[1] + k * p->a[2], i * p->b[0] + j * p->b[1] + k * p->b[2]};
}

#endif
