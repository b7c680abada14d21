/* SQUARED_DIFFERENCE of 16-bit values with broadcasting. */
#ifndef NN_SQUARED_DIFFERENCE_S16_H
#define NN_SQUARED_DIFFERENCE_S16_H

#include "nn_broadcast.h"
#include "nn_finer.h"

typedef struct {
    nn_broadcast_t broadcast;
    nn_finer_t a, b;
    int32_t multiplier; /* [0, 2^31) */
    int8_t shift;       /* [-31, 30] */
} nn_squared_difference_s16_t;

/* `output` may be one of the inputs when that one is not broadcast. */
static void nn_squared_difference_s16(NN_ROM nn_squared_difference_s16_t *p, const int16_t *a, const int16_t *b,
                                      int16_t *output)
{
    for (int32_t row = 0; row < nn_broadcast_rows(&p->broadcast); row++) {
        nn_row_t at = nn_broadcast_row(&p->broadcast, row);
        for (int32_t i = 0; i < p->broadcast.shape[3]; i++) {
            int32_t value = nn_finer(&p->a, a[at.a], 0) - nn_finer(&p->b, b[at.b], 0);
            value = nn_requantize(value * value, p->multiplier, p->shift);
            *output++ = (int16_t)nn_max(nn_min(value, INT16_MAX), INT16_MIN);
            at.a += p->broadcast.a[3];
            at.b += p->broadcast.b[3];
        }
    }
}

#endif
