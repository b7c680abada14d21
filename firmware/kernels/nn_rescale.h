/* QUANTIZE between integers of different widths: a rescale. */
#ifndef NN_RESCALE_H
#define NN_RESCALE_H

#include "nn_fixed.h"
#include "nn_wide.h"

typedef struct {
    int32_t count;
    int8_t from, to; /* bytes of a value */
    int32_t zero_point;
    int32_t output_offset;
    int32_t multiplier; /* [0, 2^31) */
    int8_t shift;       /* [-31, 30] */
} nn_rescale_t;

/* `output` may be the input when both have the same width. */
static void nn_rescale(NN_ROM nn_rescale_t *p, const void *input, void *output)
{
    const int32_t most = (int32_t)(0x7FFFFFFFu >> (32 - 8 * p->to));

    for (int32_t i = 0; i < p->count; i++) {
        int32_t value = nn_requantize(nn_get(input, i, p->from) - p->zero_point, p->multiplier, p->shift);
        nn_put(output, i, p->to, nn_max(nn_min(value + p->output_offset, most), -most - 1));
    }
}

#endif
