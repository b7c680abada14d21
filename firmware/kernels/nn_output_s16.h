/* From a sum to an output of 16 bits, which is around zero. */
#ifndef NN_OUTPUT_S16_H
#define NN_OUTPUT_S16_H

#include "nn_fixed.h"

/* The same for all outputs of a layer. */
typedef struct {
    int32_t narrow, min, max; /* narrow: 1 where sums have 32 bits, and their rescale too */
} nn_output_s16_t;

static inline int16_t nn_output_s16(nn_output_s16_t to, int64_t sum, int32_t multiplier, int32_t shift)
{
    int32_t value =
        to.narrow ? nn_requantize((int32_t)sum, multiplier, shift) : nn_requantize_wide(sum, multiplier, shift);
    return (int16_t)nn_min(nn_max(value, to.min), to.max);
}

#endif
