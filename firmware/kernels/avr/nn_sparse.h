/* nn_sparse.h for AVR: one window at a time. */
#ifndef NN_SPARSE_H
#define NN_SPARSE_H

#include "nn.h"

enum { NN_WIDE = 1 };

/* sum += the next weight * *x, in 14 cycles */
#define NN_SPARSE_PRODUCT                                                                                              \
    "lpm %[weight], Z+\n\t"                                                                                            \
    "ld %[value], X\n\t"                                                                                               \
    "mulsu %[weight], %[value]\n\t"                                                                                    \
    "mov %[value], r1\n\t"                                                                                             \
    "lsl %[value]\n\t"                                                                                                 \
    "sbc %[value], %[value]\n\t"                                                                                       \
    "add %A[sum], r0\n\t"                                                                                              \
    "adc %B[sum], r1\n\t"                                                                                              \
    "adc %C[sum], %[value]\n\t"                                                                                        \
    "adc %D[sum], %[value]\n\t"

/* *sum += those of a row, x: [count]. Returns where the next row begins. */
__attribute__((noinline, unused)) static NN_ROM uint8_t *nn_sparse_row(const uint8_t *x, NN_ROM uint8_t *row,
                                                                       int32_t *sum)
{
    int32_t total = *sum;
    for (uint8_t pairs = *row++; pairs > 0; pairs--) {
        const uint8_t distances = *row++;
        uint8_t value;
        int8_t weight;
        x += distances & 15;
        __asm__(NN_SPARSE_PRODUCT "clr r1"
                : [sum] "+r"(total), "+z"(row), [weight] "=&a"(weight), [value] "=&a"(value)
                : "x"(x)
                : "r0", "memory");
        x += distances >> 4;
        __asm__(NN_SPARSE_PRODUCT "clr r1"
                : [sum] "+r"(total), "+z"(row), [weight] "=&a"(weight), [value] "=&a"(value)
                : "x"(x)
                : "r0", "memory");
    }
    *sum = total;
    return row;
}

/* sums[NN_WIDE]: those of a row, begun with `bias`; x: [count][NN_WIDE] */
static inline NN_ROM uint8_t *nn_sparse_lanes(const uint8_t *x, NN_ROM uint8_t *row, int32_t bias, int32_t *sums)
{
    sums[0] = bias;
    return nn_sparse_row(x, row, sums);
}

#endif
