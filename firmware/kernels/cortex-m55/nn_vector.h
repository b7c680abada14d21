/* What kernels with Helium (Cortex-M55) share. */
#ifndef NN_VECTOR_H
#define NN_VECTOR_H

#include <arm_mve.h>

#include "nn.h"

static inline int32x4_t nn_vector_of(int32_t a, int32_t b, int32_t c, int32_t d)
{
    int32x4_t vector = vdupq_n_s32(a);
    vector = vsetq_lane_s32(b, vector, 1);
    vector = vsetq_lane_s32(c, vector, 2);
    return vsetq_lane_s32(d, vector, 3);
}

/* 0, step, 2 * step, 3 * step */
static inline uint32x4_t nn_vector_steps(int32_t step)
{
    return vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)step);
}

/* As nn_requantize() before the shift to the right, with what makes its rounding that away from zero. */
static inline int32x4_t nn_vector_high(int32x4_t sums, int32x4_t multiplier)
{
    const int32x4_t high = vqrdmulhq_s32(sums, multiplier);
    return vaddq_s32(high, vshrq_n_s32(high, 31));
}

/* nn_requantize() of four values, its shift in two: left in [0, 30], right in [-31, 0] */
static inline int32x4_t nn_vector_scaled(int32x4_t x, int32x4_t multiplier, int32x4_t left, int32x4_t right)
{
    const int32x4_t high = vqrdmulhq_s32(vshlq_s32(x, left), multiplier);
    return vrshlq_s32(vaddq_s32(high, vshrq_n_s32(vandq_s32(high, right), 31)), right);
}

/* nn_requantize() of four values; shift: [-31, 30] */
static inline int32x4_t nn_vector_requantize(int32x4_t x, int32x4_t multiplier, int32x4_t shift)
{
    const int32x4_t zero = vdupq_n_s32(0);
    return nn_vector_scaled(x, multiplier, vmaxq_s32(shift, zero), vminq_s32(shift, zero));
}

#endif
