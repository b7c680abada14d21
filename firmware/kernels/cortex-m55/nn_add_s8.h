/* ADD with broadcasting for cores with Helium (Cortex-M55): four values at once; see the portable nn_add_s8.h. */
#ifndef NN_ADD_S8_H
#define NN_ADD_S8_H

#include "nn_broadcast.h"
#include "nn_finer.h"
#include "nn_vector.h"

typedef struct {
    nn_broadcast_t broadcast;
    nn_finer_t a, b;
    int16_t output_offset; /* [-128, 127] */
    int32_t multiplier;    /* [2^30, 2^31) */
    int8_t shift;          /* [-31, -1] */
    int8_t min, max;       /* the fused activation */
} nn_add_t;

/* Four values, `steps` apart, on the finer scale. */
static inline int32x4_t nn_add_finer(nn_finer_t p, const int8_t *x, uint32x4_t steps, mve_pred16_t some)
{
    const int32x4_t values = vaddq_n_s32(vldrbq_gather_offset_z_s32(x, steps, some), p.offset);
    return nn_vector_requantize(vshlq_n_s32(values, 20), vdupq_n_s32(p.multiplier), vdupq_n_s32(p.shift));
}

/* `output` may be one of the inputs when that one is not broadcast. */
static void nn_add_s8(NN_ROM nn_add_t *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    const nn_finer_t first = p->a, second = p->b;
    const int32x4_t multiplier = vdupq_n_s32(p->multiplier), shift = vdupq_n_s32(p->shift);
    const int32x4_t low = vdupq_n_s32(p->min), high = vdupq_n_s32(p->max);
    int32_t step_a = p->broadcast.a[3], step_b = p->broadcast.b[3], offset = p->output_offset;
    const uint32x4_t steps_a = nn_vector_steps(step_a), steps_b = nn_vector_steps(step_b);
    for (int32_t row = 0; row < nn_broadcast_rows(&p->broadcast); row++) {
        nn_row_t at = nn_broadcast_row(&p->broadcast, row);
        int8_t *to = output;
        output += p->broadcast.shape[3];
        for (; to < output; to += 4, at.a += 4 * step_a, at.b += 4 * step_b) {
            mve_pred16_t some = vctp32q((uint32_t)(output - to));
            int32x4_t sums = nn_add_finer(first, a + at.a, steps_a, some);
            sums = vaddq_s32(sums, nn_add_finer(second, b + at.b, steps_b, some));
            sums = vaddq_n_s32(nn_vector_requantize(sums, multiplier, shift), offset);
            vstrbq_p_s32(to, vminq_s32(vmaxq_s32(sums, low), high), some);
        }
    }
}

#endif
