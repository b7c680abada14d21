/* ADD with broadcasting: both inputs are brought to one finer scale, added, and brought to the output's. */
#ifndef NN_ADD_S8_H
#define NN_ADD_S8_H

#include "nn_fixed.h"

enum { NN_ADD_LEFT_SHIFT = 20 };

typedef struct {
    int16_t step[4];    /* how far one step along each axis of the output moves in this input; 0: broadcast */
    int16_t offset;     /* minus the zero point: [-127, 128] */
    int32_t multiplier; /* [2^30, 2^31) */
    int8_t shift;       /* [-31, 0] */
} nn_add_operand_t;

typedef struct {
    int16_t shape[4]; /* of the output */
    nn_add_operand_t a, b;
    int16_t output_offset; /* [-128, 127] */
    int32_t multiplier;    /* [2^30, 2^31) */
    int8_t shift;          /* [-31, 0] */
    int8_t min, max;       /* the fused activation */
} nn_add_t;

static inline int32_t nn_add_scaled(NN_ROM nn_add_operand_t *p, int8_t value)
{
    int32_t fine = (value + p->offset) * ((int32_t)1 << NN_ADD_LEFT_SHIFT);
    return nn_requantize(fine, p->multiplier, p->shift);
}

/* `output` may be one of the inputs when that one is not broadcast. */
static void nn_add_s8(NN_ROM nn_add_t *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    for (int32_t i = 0; i < p->shape[0]; i++) {
        for (int32_t j = 0; j < p->shape[1]; j++) {
            for (int32_t k = 0; k < p->shape[2]; k++) {
                const int8_t *in_a = a + i * p->a.step[0] + j * p->a.step[1] + k * p->a.step[2];
                const int8_t *in_b = b + i * p->b.step[0] + j * p->b.step[1] + k * p->b.step[2];
                for (int32_t l = 0; l < p->shape[3]; l++) {
                    int32_t sum = nn_add_scaled(&p->a, *in_a) + nn_add_scaled(&p->b, *in_b);
                    sum = nn_requantize(sum, p->multiplier, p->shift) + p->output_offset;
                    *output++ = nn_clamp_s8(sum, p->min, p->max);
                    in_a += p->a.step[3];
                    in_b += p->b.step[3];
                }
            }
        }
    }
}

#endif
