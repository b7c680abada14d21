/* nn_output.h for a core that multiplies 32 x 32 bits to 32 quickly, not to 64: an estimate by one product takes the
 * place of the exact rescale where it cannot be wrong. */
#ifndef NN_OUTPUT_H
#define NN_OUTPUT_H

#include "nn_fixed.h"
#include "nn_now.h"

typedef struct {
    int32_t offset, min, max;
} nn_output_t;

static inline int8_t nn_output(nn_output_t to, int32_t sum, int32_t multiplier, int32_t shift)
{
    return nn_clamp_s8(nn_requantize(sum, multiplier, shift) + to.offset, to.min, to.max);
}

/* What takes the sums of a channel to outputs. The estimate, in units of 2^-22, is not below the exact output and less
 * than `slack` above it: unless a whole number lies in between, its integer part is right. */
typedef struct {
    uint32_t start;        /* is added to a sum: the bias, and what makes those that matter positive */
    uint32_t last;         /* beyond, they are the least or the greatest output */
    uint32_t factor, rest; /* the estimate: sum * factor + rest */
    uint32_t slack;        /* times 2^10 */
} nn_scaler_t;

/* How far below zero sums matter: one of 2 << right comes to 1 at least, and to 2 at most. */
static inline uint32_t nn_lead(const nn_output_t *to, int32_t right)
{
    return (uint32_t)(to->offset - to->min) << (right + 1);
}

NN_APART static void nn_scaler(const nn_output_t *to, int32_t bias, int32_t multiplier, int32_t shift,
                               nn_scaler_t *scaler)
{
    const int32_t right = -shift;
    if (right < 1 || right > 12 || multiplier < (int32_t)1 << 30 || to->offset < to->min || to->offset > to->max ||
        (uint32_t)bias + ((uint32_t)1 << 30) >= (uint32_t)1 << 31) {
        *scaler = (nn_scaler_t){(uint32_t)bias, UINT32_MAX, 0, 0, UINT32_MAX};
        return;
    }
    const uint32_t lead = nn_lead(to, right), reach = (uint32_t)(to->max - to->min + 1) << (right + 1);
    const uint32_t half = (uint32_t)1 << (21 - right); /* of the first rounding, which goes down below zero */
    scaler->start = (uint32_t)bias + lead;
    scaler->last = reach - 1;
    scaler->factor = (uint32_t)(multiplier >> (9 + right)) + 1;
    scaler->rest = ((uint32_t)to->offset << 22) + ((uint32_t)1 << 21) + half + lead - lead * scaler->factor;
    scaler->slack = (lead > 0 && lead + 2 * half > reach ? lead + 2 * half : reach) << 10;
}

typedef struct {
    nn_output_t to;
    NN_ROM int32_t *multiplier;
    NN_ROM int8_t *shift;
    const nn_scaler_t *scalers;
} nn_channels_t;

static inline nn_channels_t nn_channels(nn_output_t to, NN_ROM int32_t *bias, NN_ROM int32_t *multiplier,
                                        NN_ROM int8_t *shift, int32_t channels, void **scratch)
{
    nn_scaler_t *scalers = *scratch;
    for (int32_t i = 0; i < channels; i++) {
        nn_scaler(&to, bias[i], multiplier[i], shift[i], scalers + i);
    }
    *scratch = scalers + channels;
    return (nn_channels_t){to, multiplier, shift, scalers};
}

/* Of a sum with its `start`. */
NN_APART static int32_t nn_exactly(const nn_channels_t *channels, const nn_scaler_t *scaler, uint32_t sum)
{
    const int32_t channel = (int32_t)(scaler - channels->scalers), shift = channels->shift[channel];
    const uint32_t lead = scaler->factor > 0 ? nn_lead(&channels->to, -shift) : 0;
    return nn_requantize((int32_t)(sum - lead), channels->multiplier[channel], shift) + channels->to.offset;
}

static inline void nn_outputs(const nn_channels_t *channels, int32_t channel, const int32_t *sums, int32_t count,
                              int8_t *output, int32_t step)
{
    const nn_scaler_t *scaler = channels->scalers + channel;
    const int32_t min = channels->to.min, max = channels->to.max;
    const uint32_t start = scaler->start, last = scaler->last, factor = scaler->factor, rest = scaler->rest;
    const uint32_t slack = scaler->slack;
    for (const int32_t *end = sums + count; sums != end; sums++, output += step) {
        const uint32_t sum = (uint32_t)*sums + start;
        int32_t value = (int32_t)(sum * factor + rest);
        if (sum > last) {
            *output = (int8_t)((int32_t)sum < 0 ? min : max);
            continue;
        }
        if (__builtin_expect((uint32_t)value << 10 < slack, 0)) {
            value = nn_exactly(channels, scaler, sum);
        } else {
            value >>= 22;
        }
        *output = (int8_t)nn_min(nn_max(value, min), max);
    }
}

#endif
