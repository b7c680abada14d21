/* From a sum to an output: what every layer with weights ends with. */
#ifndef NN_OUTPUT_H
#define NN_OUTPUT_H

#include "nn_fixed.h"

/* The same for all outputs of a layer; a copy, which unlike the layer's own parameters can stay in registers. */
typedef struct {
    int32_t offset, min, max;
} nn_output_t;

static inline int8_t nn_output(nn_output_t to, int32_t sum, int32_t multiplier, int32_t shift)
{
    return nn_clamp_s8(nn_requantize(sum, multiplier, shift) + to.offset, to.min, to.max);
}

#endif
