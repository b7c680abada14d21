/* ADD with broadcasting, for cores with Arm's DSP extension; see the portable nn_add_s8.h. */
#ifndef NN_ADD_S8_H
#define NN_ADD_S8_H

#include "nn_broadcast.h"
#include "nn_finer.h"
#include "nn_pairs.h"

typedef struct {
    nn_broadcast_t broadcast;
    nn_finer_t a, b;
    int16_t output_offset; /* [-128, 127] */
    int32_t multiplier;    /* [2^30, 2^31) */
    int8_t shift;          /* [-31, -1] */
    int8_t min, max;       /* the fused activation */
} nn_add_t;

/* The constants of a sum, by what they are added to or multiplied with. The input of the larger scale is x: on the
 * finer scale it is exactly 2^19 times its value. */
typedef struct {
    int32_t x, y; /* offsets, times 2^19 and 2^20 */
    int32_t multiplier, shift, sum_multiplier, sum_shift;
    int32_t offset; /* as nn_rescaled() has it */
} nn_sum_t;

/* The right shift less one; no shift is one of twice as much. */
static inline int32_t nn_sum_multiplier(int32_t multiplier, int32_t shift)
{
    return shift ? (int32_t)((uint32_t)multiplier << 1) : 0;
}

static __attribute__((noinline)) void nn_add_row(const nn_sum_t *p, const int8_t *x, const int8_t *y, int32_t count,
                                                 int8_t *output)
{
    int32_t x_offset = p->x, y_offset = p->y, multiplier = p->multiplier, shift = p->shift, offset = p->offset;
    int32_t sum_multiplier = p->sum_multiplier, sum_shift = p->sum_shift;
    for (const int8_t *end = output + count; output < end;) {
        int32_t sum = *x++, value = *y++;
        __asm__("add %0, %3, %0, lsl #20\n\t"
                "smmlar %0, %0, %4, %0\n\t"
                "add %0, %0, %0, asr #31\n\t"
                "asr %0, %0, %5\n\t"
                "add %0, %0, #1\n\t"
                "add %1, %2, %1, lsl #19\n\t"
                "add %1, %1, %0, asr #1"
                : "+&r"(value), "+&r"(sum)
                : "r"(x_offset), "r"(y_offset), "r"(multiplier), "r"(shift));
        *output++ = nn_rescaled(sum, sum_multiplier, sum_shift, offset);
    }
}

/* `output` may be one of the inputs when that one is not broadcast. */
static void nn_add_s8(NN_ROM nn_add_t *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    int8_t turn = p->a.shift != 0; /* of the larger scale is the one that is not shifted */
    NN_ROM nn_finer_t *larger = turn ? &p->b : &p->a, *other = turn ? &p->a : &p->b;
    const nn_sum_t sum = {.x = larger->offset * ((int32_t)1 << 19),
                          .y = other->offset * ((int32_t)1 << 20),
                          .multiplier = nn_sum_multiplier(other->multiplier, other->shift),
                          .shift = nn_max(-other->shift - 1, 0),
                          .sum_multiplier = nn_sum_multiplier(p->multiplier, p->shift),
                          .sum_shift = -p->shift - 1,
                          .offset = 2 * p->output_offset + 1};
    int32_t rows = nn_broadcast_rows(&p->broadcast), count = p->broadcast.shape[3];
    int32_t a_step = p->broadcast.a[3], b_step = p->broadcast.b[3];
    int32_t together = a_step + b_step == 2 ? count : 1;
    for (int32_t row = 0; row < rows; row++, output += count) {
        nn_row_t at = nn_broadcast_row(&p->broadcast, row);
        for (int32_t i = 0; i < count; i += together, at.a += a_step, at.b += b_step) {
            const int8_t *x = a + at.a, *y = b + at.b;
            nn_add_row(&sum, turn ? y : x, turn ? x : y, together, output + i);
        }
        nn_limit(output, count, p->min, p->max);
    }
}

#endif
