/* Bringing two inputs of different scales to one finer scale: what ADD, SUB and SQUARED_DIFFERENCE begin with. */
#ifndef NN_FINER_H
#define NN_FINER_H

#include "nn_fixed.h"

typedef struct {
    int16_t offset;     /* minus the zero point: [-127, 128] */
    int32_t multiplier; /* [2^30, 2^31) */
    int8_t shift;       /* [-31, 0] */
} nn_finer_t;

/* Of a copy, which unlike a layer's own parameters can stay in registers. */
static inline int32_t nn_finer_of(nn_finer_t p, int16_t value, uint8_t left_shift)
{
    return nn_requantize((value + p.offset) * ((int32_t)1 << left_shift), p.multiplier, p.shift);
}

static inline int32_t nn_finer(NN_ROM nn_finer_t *p, int16_t value, uint8_t left_shift)
{
    return nn_finer_of(*p, value, left_shift);
}

#endif
