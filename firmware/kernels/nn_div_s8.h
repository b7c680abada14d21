/* DIV with broadcasting: a times the reciprocal of b, brought to the output's scale. */
#ifndef NN_DIV_S8_H
#define NN_DIV_S8_H

#include "nn_broadcast.h"
#include "nn_fixed.h"

typedef struct {
    nn_broadcast_t broadcast;
    int16_t a_offset, b_offset; /* minus the zero points: [-127, 128] */
    int16_t output_offset;      /* [-128, 127] */
    int32_t multiplier;         /* [0, 2^31) */
    int8_t shift;               /* [-31, 23] */
    int8_t min, max;            /* the fused activation */
} nn_div_t;

/* a / b * 2^shift * multiplier / 2^31. A divisor of 0 counts as 1. What is too small to be shifted becomes 1 or -1, as
 * where TFLite Micro runs on Arm; elsewhere it is undefined there. */
static inline int32_t nn_divide(int32_t a, int32_t b, int32_t multiplier, int32_t shift)
{
    if (b < 0) {
        a = -a;
        b = -b;
    }
    uint32_t divisor = b == 0 ? 1 : (uint32_t)b;
    int32_t zeros = nn_leading_zeros(divisor);
    int32_t inverse = nn_one_over_one_plus((int32_t)((divisor << zeros) - 0x80000000u));
    int32_t headroom = nn_leading_zeros(a < 0 ? (uint32_t)~a : (uint32_t)a) - 1;
    int32_t quotient = nn_doubling_high_mul((int32_t)((uint32_t)a << headroom), inverse);
    int32_t right = 31 - zeros + headroom - shift;
    quotient = nn_doubling_high_mul(quotient, multiplier);
    if (right > 31) {
        return quotient < 0 ? -1 : 1;
    }
    return nn_divide_by_power(quotient, right);
}

/* `output` may be one of the inputs when that one is not broadcast. */
static void nn_div_s8(NN_ROM nn_div_t *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    for (int32_t row = 0; row < nn_broadcast_rows(&p->broadcast); row++) {
        nn_row_t at = nn_broadcast_row(&p->broadcast, row);
        for (int32_t i = 0; i < p->broadcast.shape[3]; i++) {
            int32_t value = nn_divide(a[at.a] + p->a_offset, b[at.b] + p->b_offset, p->multiplier, p->shift);
            *output++ = nn_clamp_s8(value + p->output_offset, p->min, p->max);
            at.a += p->broadcast.a[3];
            at.b += p->broadcast.b[3];
        }
    }
}

#endif
