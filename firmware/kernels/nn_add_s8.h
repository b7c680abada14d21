/* ADD with broadcasting: both inputs are brought to one finer scale, the result to the output's. */
#ifndef NN_ADD_S8_H
#define NN_ADD_S8_H

#include "nn_broadcast.h"
#include "nn_finer.h"
#include "nn_output.h"

typedef struct {
    nn_broadcast_t broadcast;
    nn_finer_t a, b;
    int16_t output_offset; /* [-128, 127] */
    int32_t multiplier;    /* [2^30, 2^31) */
    int8_t shift;          /* [-31, -1] */
    int8_t min, max;       /* the fused activation */
} nn_add_t;

/* `output` may be one of the inputs when that one is not broadcast. */
static void nn_add_s8(NN_ROM nn_add_t *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    const nn_finer_t first = p->a, second = p->b;
    const nn_output_t to = {p->output_offset, p->min, p->max};
    const int32_t multiplier = p->multiplier, shift = p->shift;
    for (int32_t row = 0; row < nn_broadcast_rows(&p->broadcast); row++) {
        nn_row_t at = nn_broadcast_row(&p->broadcast, row);
        int32_t step_a = p->broadcast.a[3], step_b = p->broadcast.b[3];
        for (int32_t left = p->broadcast.shape[3]; left > 0; left--) {
            int32_t value = nn_finer_of(first, a[at.a], 20) + nn_finer_of(second, b[at.b], 20);
            *output++ = nn_output(to, value, multiplier, shift);
            at.a += step_a;
            at.b += step_b;
        }
    }
}

#endif
