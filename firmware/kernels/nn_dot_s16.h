/* Inner products of 16-bit values and 8-bit weights, in sums of 64 bits. */
#ifndef NN_DOT_S16_H
#define NN_DOT_S16_H

#include "nn.h"

enum { NN_TERMS = 511 }; /* products of 16 and 8 bits whose sum fits 32 bits */

/* Sum of weights[i * weights_step] * x[i * step]. */
static inline int64_t nn_dot_s16(const int16_t *x, int32_t step, NN_ROM int8_t *weights, int32_t weights_step,
                                 int32_t count)
{
    int64_t sum = 0;
    for (int32_t some; count > 0; count -= some) {
        int32_t part = 0;
        some = nn_min(count, NN_TERMS);
        for (int32_t i = some; i > 0; i--) {
            part += (int32_t)*x * *weights;
            x += step;
            weights += weights_step;
        }
        sum += part;
    }
    return sum;
}

enum { NN_WIDE_ROWS = 4 };

/* The same of dense values and one to four rows of weights, `step` apart: one x serves them all. Added to sums. */
static inline void nn_rows_s16(const int16_t *x, NN_ROM int8_t *weights, int32_t step, int32_t rows, int32_t count,
                               int64_t *sums)
{
    if (rows < NN_WIDE_ROWS) {
        for (int32_t row = 0; row < rows; row++) {
            sums[row] += nn_dot_s16(x, 1, weights + row * step, 1, count);
        }
        return;
    }
    NN_ROM int8_t *second = weights + step, *third = second + step, *fourth = third + step;
    for (int32_t first = 0, last; first < count; first = last) {
        int32_t a = 0, b = 0, c = 0, d = 0;
        last = nn_min(count, first + NN_TERMS);
        for (int32_t i = first; i < last; i++) {
            int32_t value = x[i];
            a += weights[i] * value;
            b += second[i] * value;
            c += third[i] * value;
            d += fourth[i] * value;
        }
        sums[0] += a;
        sums[1] += b;
        sums[2] += c;
        sums[3] += d;
    }
}

#endif
