/* Values moved from one layout to another: TRANSPOSE, SLICE, SPLIT, CONCATENATION, PAD, TILE and their like. */
#ifndef NN_MOVE_S8_H
#define NN_MOVE_S8_H

#include "nn.h"

typedef struct {
    int16_t shape[5];       /* how many values along each axis */
    int32_t from[5], to[5]; /* how far one step along each axis moves in the input and in the output */
    int32_t from_at, to_at; /* where the first value lies */
} nn_move_t;

/* Wider values are moved as bytes, which are one more axis. */
static void nn_move_s8(NN_ROM nn_move_t *p, const void *input, void *output)
{
    const int8_t *source = input;
    int8_t *target = output;
    int32_t rows = (int32_t)p->shape[0] * p->shape[1] * p->shape[2] * p->shape[3];
    for (int32_t row = 0; row < rows; row++) {
        int32_t from = p->from_at, to = p->to_at;
        int32_t left = row;
        for (int8_t axis = 3; axis >= 0; axis--) {
            int32_t place = left % p->shape[axis];
            left /= p->shape[axis];
            from += place * p->from[axis];
            to += place * p->to[axis];
        }
        for (int32_t i = 0; i < p->shape[4]; i++) {
            target[to] = source[from];
            from += p->from[4];
            to += p->to[4];
        }
    }
}

#endif
