/* nn_sparse.h for AVR: four lanes, whose sums of 24 bits fill its registers. */
#ifndef NN_SPARSE_H
#define NN_SPARSE_H

#include "nn.h"

enum { NN_WIDE = 4 };

/* sum += weight * the value that `load` loads, in 8 cycles; the multiplication leaves its sign in the carry. */
#define NN_SPARSE_PRODUCT(load, sum)                                                                                   \
    load "mulsu %[weight], %[value]\n\t"                                                                               \
         "sbc %[value], %[value]\n\t"                                                                                  \
         "add %A[" sum "], r0\n\t"                                                                                     \
         "adc %B[" sum "], r1\n\t"                                                                                     \
         "adc %C[" sum "], %[value]\n\t"
#define NN_SPARSE_HERE "ld %[value], X\n\t"
#define NN_SPARSE_UP "ld %[value], X+\n\t"
#define NN_SPARSE_DOWN "ld %[value], -X\n\t"

/* x += the distance, times what `shifts` makes of it; then the weight */
#define NN_SPARSE_NEXT(shifts)                                                                                         \
    shifts "clr r1\n\t"                                                                                                \
           "add r26, %[distance]\n\t"                                                                                  \
           "adc r27, r1\n\t"                                                                                           \
           "lpm %[weight], Z+\n\t"

/* A row: pairs, then one weight or none; their distances times `first` and `second`. */
#define NN_SPARSE_PAIRS(first, products, second, others)                                                               \
    "movw r26, %[x]\n\t"                                                                                               \
    "rjmp 2f\n\t"                                                                                                      \
    "1: mov %[distance], %[distances]\n\t"                                                                             \
    "andi %[distance], 15\n\t" NN_SPARSE_NEXT(first) products "mov %[distance], %[distances]\n\t"                      \
                                                              "andi %[distance], 240\n\t" NN_SPARSE_NEXT(second)       \
                                                                  others "2: lpm %[distances], Z+\n\t"                 \
                                                                         "cpi %[distances], 16\n\t"                    \
                                                                         "brlo 3f\n\t"                                 \
                                                                         "rjmp 1b\n\t"                                 \
                                                                         "3: mov %[distance], %[distances]\n\t"        \
                                                                         "tst %[distance]\n\t"                         \
                                                                         "breq 4f\n\t" NN_SPARSE_NEXT(first) products  \
        "4: clr r1\n\t"

/* sums[NN_WIDE]: those of a row, each begun with `bias`; x: [count][NN_WIDE]. Returns where the next row begins. The
 * values of a pair's first weight are read upwards, those of its second downwards. */
__attribute__((noinline, unused)) static NN_ROM uint8_t *nn_sparse_lanes(const uint8_t *x, NN_ROM uint8_t *row,
                                                                         int32_t bias, int32_t *sums)
{
    __int24 a = (__int24)bias, b = a, c = a, d = a;
    uint8_t distances, distance, value;
    int8_t weight;
    __asm__(NN_SPARSE_PAIRS("lsl %[distance]\n\tlsl %[distance]\n\t",
                            NN_SPARSE_PRODUCT(NN_SPARSE_UP, "a") NN_SPARSE_PRODUCT(NN_SPARSE_UP, "b")
                                NN_SPARSE_PRODUCT(NN_SPARSE_UP, "c") NN_SPARSE_PRODUCT(NN_SPARSE_HERE, "d"),
                            "lsr %[distance]\n\tlsr %[distance]\n\tori %[distance], 1\n\t",
                            NN_SPARSE_PRODUCT(NN_SPARSE_DOWN, "d") NN_SPARSE_PRODUCT(NN_SPARSE_DOWN, "c")
                                NN_SPARSE_PRODUCT(NN_SPARSE_DOWN, "b") NN_SPARSE_PRODUCT(NN_SPARSE_DOWN, "a"))
            : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), "+z"(row), [weight] "=&a"(weight),
              [value] "=&a"(value), [distances] "=&d"(distances), [distance] "=&d"(distance)
            : [x] "r"(x)
            : "r0", "r26", "r27", "memory");
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
    return row;
}

/* The same of one window, x: [count]; onto *sum. */
static inline NN_ROM uint8_t *nn_sparse_row(const uint8_t *x, NN_ROM uint8_t *row, int32_t *sum)
{
    __int24 total = (__int24)*sum;
    uint8_t distances, distance, value;
    int8_t weight;
    __asm__(NN_SPARSE_PAIRS("", NN_SPARSE_PRODUCT(NN_SPARSE_HERE, "sum"), "swap %[distance]\n\t",
                            NN_SPARSE_PRODUCT(NN_SPARSE_HERE, "sum"))
            : [sum] "+r"(total), "+z"(row), [weight] "=&a"(weight), [value] "=&a"(value), [distances] "=&d"(distances),
              [distance] "=&d"(distance)
            : [x] "r"(x)
            : "r0", "r26", "r27", "memory");
    *sum = total;
    return row;
}

#endif
