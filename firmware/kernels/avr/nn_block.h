/* nn_block.h for AVR: one window at a time, whose value times four weights takes half of the registers; the products
 * are 16 bits wide, unsigned. */
#ifndef NN_BLOCK_H
#define NN_BLOCK_H

#include "nn_unsigned.h"

enum { NN_ROWS = 4, NN_LANES = 1, NN_MOST_ROWS = NN_ROWS };

/* sum += value * the next weight, in 9 cycles; no compiler here keeps the pointer where it can count up by itself. */
#define NN_BLOCK_PRODUCT(sum)                                                                                          \
    "lpm r0, Z+\n\t"                                                                                                   \
    "mul r0, %[value]\n\t"                                                                                             \
    "add %A[" sum "], r0\n\t"                                                                                          \
    "adc %B[" sum "], r1\n\t"                                                                                          \
    "adc %C[" sum "], %[zero]\n\t"                                                                                     \
    "adc %D[" sum "], %[zero]\n\t"

/* sums[NN_ROWS] of one window; weights: [count][NN_ROWS]. A function of its own: inside another its registers would not
 * do. Behind a ReLU many values are its zero, which costs no multiply. */
__attribute__((noinline, unused)) static void nn_block_lane_s8(const uint8_t *x, NN_ROM uint8_t *weights, int32_t count,
                                                               int32_t *sums)
{
    uint32_t a = 0, b = 0, c = 0, d = 0;
    const uint8_t zero = 0;
    for (const uint8_t *end = x + (uint16_t)count; x != end;) {
        const uint8_t value = *x++;
        if (value == 0) {
            weights += NN_ROWS;
            continue;
        }
        __asm__(NN_BLOCK_PRODUCT("a") NN_BLOCK_PRODUCT("b") NN_BLOCK_PRODUCT("c") NN_BLOCK_PRODUCT("d") "clr r1"
                : "+z"(weights), [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d)
                : [value] "r"(value), [zero] "r"(zero)
                : "r0");
    }
    sums[0] = (int32_t)a;
    sums[1] = (int32_t)b;
    sums[2] = (int32_t)c;
    sums[3] = (int32_t)d;
}

/* sums[NN_ROWS][NN_LANES] of all rows and lanes, in each lane onto `start`. */
static inline void nn_block_s8(const uint8_t *patch, NN_ROM uint8_t *weights, int32_t count, const int32_t *start,
                               int32_t *sums)
{
    nn_block_lane_s8(patch, weights, count, sums);
    for (uint8_t row = 0; row < NN_ROWS; row++) {
        sums[row] += *start;
    }
}

/* sums[NN_MOST_ROWS] of x [count] for as many of the next rows as it likes to do at once; returns how many. */
static inline int32_t nn_block_rows_s8(const uint8_t *x, NN_ROM uint8_t *weights, int32_t count, int32_t rows,
                                       int32_t *sums)
{
    nn_block_lane_s8(x, weights, count, sums);
    return nn_min(rows, NN_ROWS);
}

#endif
