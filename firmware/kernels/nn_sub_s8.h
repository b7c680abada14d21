/* SUB with broadcasting: both inputs are brought to one finer scale, the result to the output's. */
#ifndef NN_SUB_S8_H
#define NN_SUB_S8_H

#include "nn_broadcast.h"
#include "nn_finer.h"

typedef struct {
    nn_broadcast_t broadcast;
    nn_finer_t a, b;
    int16_t output_offset; /* [-128, 127] */
    int32_t multiplier;    /* [2^30, 2^31) */
    int8_t shift;          /* [-31, -1] */
    int8_t min, max;       /* the fused activation */
} nn_sub_t;

/* `output` may be one of the inputs when that one is not broadcast. */
static void nn_sub_s8(NN_ROM nn_sub_t *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    for (int32_t row = 0; row < nn_broadcast_rows(&p->broadcast); row++) {
        nn_row_t at = nn_broadcast_row(&p->broadcast, row);
        for (int32_t i = 0; i < p->broadcast.shape[3]; i++) {
            int32_t value = nn_finer(&p->a, a[at.a], 20) - nn_finer(&p->b, b[at.b], 20);
            value = nn_requantize(value, p->multiplier, p->shift) + p->output_offset;
            *output++ = nn_clamp_s8(value, p->min, p->max);
            at.a += p->broadcast.a[3];
            at.b += p->broadcast.b[3];
        }
    }
}

#endif
