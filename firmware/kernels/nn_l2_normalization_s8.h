/* L2_NORMALIZATION along the last axis: x / sqrt(sum of x^2); the output's scale is 1/128, zero point 0. */
#ifndef NN_L2_NORMALIZATION_S8_H
#define NN_L2_NORMALIZATION_S8_H

#include "nn_fixed.h"

typedef struct {
    int16_t rows, depth;
    int16_t input_offset; /* minus the zero point: [-127, 128] */
} nn_l2_normalization_t;

/* `output` may be `input`. */
static void nn_l2_normalization_s8(NN_ROM nn_l2_normalization_t *p, const int8_t *input, int8_t *output)
{
    for (int32_t row = 0; row < p->rows; row++, input += p->depth, output += p->depth) {
        int32_t sum = 0, shift = 0;
        for (int32_t i = 0; i < p->depth; i++) {
            int32_t value = input[i] + p->input_offset;
            sum += value * value;
        }
        int32_t multiplier = nn_inverse_sqrt(sum, &shift);
        for (int32_t i = 0; i < p->depth; i++) {
            int32_t value = nn_requantize(input[i] + p->input_offset, multiplier, shift + 7);
            output[i] = nn_clamp_s8(value, INT8_MIN, INT8_MAX);
        }
    }
}

#endif
