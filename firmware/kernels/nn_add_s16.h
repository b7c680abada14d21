/* ADD and SUB of 16-bit values: both inputs are brought to one finer scale, the result to the output's. */
#ifndef NN_ADD_S16_H
#define NN_ADD_S16_H

#include "nn_broadcast.h"
#include "nn_finer.h"

typedef struct {
    nn_broadcast_t broadcast;
    int32_t multiplier; /* [2^30, 2^31) */
    int8_t shift;       /* [-31, 0] */
    int16_t min, max;   /* the fused activation */
    nn_finer_t a, b;
    int8_t sign; /* of b: 1 for a sum, -1 for a difference */
} nn_add_s16_t;

/* `output` may be one of the inputs when that one is not broadcast. */
static void nn_add_s16(NN_ROM nn_add_s16_t *p, const int16_t *a, const int16_t *b, int16_t *output)
{
    for (int32_t row = 0; row < nn_broadcast_rows(&p->broadcast); row++) {
        nn_row_t at = nn_broadcast_row(&p->broadcast, row);
        for (int32_t i = 0; i < p->broadcast.shape[3]; i++) {
            int32_t value = nn_finer(&p->a, a[at.a], 15) + p->sign * nn_finer(&p->b, b[at.b], 15);
            value = nn_requantize(value, p->multiplier, p->shift);
            *output++ = (int16_t)nn_min(nn_max(value, p->min), p->max);
            at.a += p->broadcast.a[3];
            at.b += p->broadcast.b[3];
        }
    }
}

#endif
