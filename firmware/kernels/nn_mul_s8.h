/* MUL with broadcasting. */
#ifndef NN_MUL_S8_H
#define NN_MUL_S8_H

#include "nn_broadcast.h"
#include "nn_fixed.h"

typedef struct {
    nn_broadcast_t broadcast;
    int16_t a_offset, b_offset; /* minus the zero points: [-127, 128] */
    int16_t output_offset;      /* [-128, 127] */
    int32_t multiplier;         /* [0, 2^31) */
    int8_t shift;               /* [-31, 30] */
    int8_t min, max;            /* the fused activation */
} nn_mul_t;

/* `output` may be one of the inputs when that one is not broadcast. */
static void nn_mul_s8(NN_ROM nn_mul_t *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    for (int32_t row = 0; row < nn_broadcast_rows(&p->broadcast); row++) {
        nn_row_t at = nn_broadcast_row(&p->broadcast, row);
        for (int32_t i = 0; i < p->broadcast.shape[3]; i++) {
            int32_t value = (int32_t)(a[at.a] + p->a_offset) * (b[at.b] + p->b_offset);
            value = nn_requantize(value, p->multiplier, p->shift) + p->output_offset;
            *output++ = nn_clamp_s8(value, p->min, p->max);
            at.a += p->broadcast.a[3];
            at.b += p->broadcast.b[3];
        }
    }
}

#endif
