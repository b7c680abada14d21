/* The argument of a sigmoid or tanh of 16-bit values. */
#ifndef NN_CURVE_H
#define NN_CURVE_H

#include "nn_sigmoid.h"

typedef struct {
    int32_t count;
    int16_t multiplier; /* with the shift: to units of 1 / (3 * 4096) */
    int8_t shift;       /* [0, 31] */
} nn_curve_t;

static inline int32_t nn_curve_argument(NN_ROM nn_curve_t *p, int16_t x)
{
    const int32_t half = p->shift > 0 ? (int32_t)1 << (p->shift - 1) : 0;
    return ((int32_t)x * p->multiplier + half) >> p->shift;
}

#endif
