/* The outputs of sparse convolutions, whose sums are small as a rule. */
#ifndef NN_SMALL_OUTPUTS_H
#define NN_SMALL_OUTPUTS_H

#include "nn_small.h"

/* Outputs of one channel, `step` bytes apart, from 1 sum or more; `small` ones have the bias already. */
static inline void nn_small_outputs(int8_t small, const nn_channels_t *channels, int16_t channel, const int32_t *sums,
                                    int32_t count, int8_t *output, int16_t step)
{
    if (!small) {
        nn_outputs(channels, channel, sums, count, output, step);
        return;
    }
    const int32_t multiplier = channels->multiplier[channel];
    const int8_t shift = channels->shift[channel];
    for (const int32_t *end = sums + count;; output += step) {
        *output = (int8_t)nn_small_output(&channels->to, *sums++, multiplier, shift);
        if (sums == end) {
            return;
        }
    }
}

#endif
