/* CUMSUM: running sums along one axis, on a finer scale, each brought to the output's. */
#ifndef NN_CUMSUM_S8_H
#define NN_CUMSUM_S8_H

#include "nn_finer.h"

typedef struct {
    int16_t outer, length, inner; /* the input is [outer][length][inner] */
    int8_t reverse, exclusive;    /* 1: from behind; 1: without the value itself */
    nn_finer_t input;
    int16_t output_offset; /* [-128, 127] */
    int32_t multiplier;    /* [2^30, 2^31) */
    int8_t shift;          /* [-31, 0] */
} nn_cumsum_t;

/* The sums of one row, whose values lie p->inner apart; like TFLite Micro's they begin at a quantized 0. */
static inline void nn_cumsum_row(NN_ROM nn_cumsum_t *p, const int8_t *input, int8_t *output)
{
    int32_t sum = nn_finer(&p->input, 0, 20);
    for (int32_t i = 0; i < p->length; i++) {
        int32_t at = (p->reverse ? p->length - 1 - i : i) * p->inner;
        int32_t before = sum;
        sum += nn_finer(&p->input, input[at], 20);
        int32_t value = nn_requantize(p->exclusive ? before : sum, p->multiplier, p->shift) + p->output_offset;
        output[at] = nn_clamp_s8(value, INT8_MIN, INT8_MAX);
    }
}

/* `output` may be `input`. */
static void nn_cumsum_s8(NN_ROM nn_cumsum_t *p, const int8_t *input, int8_t *output)
{
    int32_t block = (int32_t)p->length * p->inner;
    for (int32_t outer = 0; outer < p->outer; outer++, input += block, output += block) {
        for (int32_t inner = 0; inner < p->inner; inner++) {
            nn_cumsum_row(p, input + inner, output + inner);
        }
    }
}

#endif
