/* From sums to outputs: what every layer with weights ends with. */
#ifndef NN_OUTPUT_H
#define NN_OUTPUT_H

#include "nn_fixed.h"

/* The same for all outputs of a layer; a copy, which unlike the layer's own parameters can stay in registers. */
typedef struct {
    int16_t offset;
    int8_t min, max;
} nn_output_t;

static inline int8_t nn_output(nn_output_t to, int32_t sum, int32_t multiplier, int32_t shift)
{
    return nn_clamp_s8(nn_requantize(sum, multiplier, shift) + to.offset, to.min, to.max);
}

/* The channels of a layer, of which each has many outputs. */
typedef struct {
    nn_output_t to;
    NN_ROM int32_t *bias, *multiplier;
    NN_ROM int8_t *shift;
} nn_channels_t;

/* Cores that prepare something keep it in `scratch`, which they move on. */
static inline nn_channels_t nn_channels(nn_output_t to, NN_ROM int32_t *bias, NN_ROM int32_t *multiplier,
                                        NN_ROM int8_t *shift, int32_t channels, void **scratch)
{
    (void)channels;
    (void)scratch;
    return (nn_channels_t){to, bias, multiplier, shift};
}

/* Outputs of one channel, `step` bytes apart, from sums without the bias. */
static inline void nn_outputs(const nn_channels_t *channels, int32_t channel, const int32_t *sums, int32_t count,
                              int8_t *output, int32_t step)
{
    const nn_output_t to = channels->to;
    const int32_t bias = channels->bias[channel], multiplier = channels->multiplier[channel];
    const int32_t shift = channels->shift[channel];
    for (const int32_t *end = sums + count; sums != end; sums++, output += step) {
        *output = nn_output(to, bias + *sums, multiplier, shift);
    }
}

#endif
