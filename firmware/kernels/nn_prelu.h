/* PRELU: negative values are multiplied by alpha, which is broadcast over the input (one per channel, as a rule). For
 * each width of values anew; alpha has 8 bits. */
#ifndef NN_PRELU_H
#define NN_PRELU_H

#include "nn_broadcast.h"
#include "nn_fixed.h"
#include "nn_wide.h"

typedef struct {
    int32_t multiplier; /* [0, 2^31) */
    int8_t shift;       /* [-31, 30] */
} nn_prelu_rescale_t;

typedef struct {
    nn_broadcast_t broadcast;
    int16_t input_offset, alpha_offset; /* minus the zero points: [-127, 128] */
    int16_t output_offset;              /* [-128, 127] */
    nn_prelu_rescale_t above, below;    /* for values from zero up, and for products with alpha */
} nn_prelu_t;

__attribute__((always_inline)) static inline void nn_prelu(NN_ROM nn_prelu_t *p, const void *input, const int8_t *alpha,
                                                           void *output, int8_t width)
{
    const int32_t most = width == 1 ? INT8_MAX : INT16_MAX;
    int32_t made = 0;
    for (int32_t row = 0; row < nn_broadcast_rows(&p->broadcast); row++) {
        nn_row_t at = nn_broadcast_row(&p->broadcast, row);
        for (int32_t i = 0; i < p->broadcast.shape[3]; i++) {
            int32_t value = nn_get(input, at.a, width) + p->input_offset;
            if (value >= 0) {
                value = nn_requantize(value, p->above.multiplier, p->above.shift);
            } else {
                value = nn_requantize(value * (alpha[at.b] + p->alpha_offset), p->below.multiplier, p->below.shift);
            }
            nn_put(output, made++, width, nn_max(nn_min(value + p->output_offset, most), -most - 1));
            at.a += p->broadcast.a[3];
            at.b += p->broadcast.b[3];
        }
    }
}

#endif
