/* MINIMUM with broadcasting: inputs and output share one quantization. */
#ifndef NN_MINIMUM_S8_H
#define NN_MINIMUM_S8_H

#include "nn_broadcast.h"

typedef struct {
    nn_broadcast_t broadcast;
} nn_minimum_t;

/* `output` may be one of the inputs when that one is not broadcast. */
static void nn_minimum_s8(NN_ROM nn_minimum_t *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    for (int32_t row = 0; row < nn_broadcast_rows(&p->broadcast); row++) {
        nn_row_t at = nn_broadcast_row(&p->broadcast, row);
        for (int32_t i = 0; i < p->broadcast.shape[3]; i++) {
            *output++ = (int8_t)nn_min(a[at.a], b[at.b]);
            at.a += p->broadcast.a[3];
            at.b += p->broadcast.b[3];
        }
    }
}

#endif
