/* Sparse weights in pairs for cores with Arm's DSP extension; see the portable nn_sparse_pairs.h. */
#ifndef NN_SPARSE_PAIRS_H
#define NN_SPARSE_PAIRS_H

#include "nn_pairs.h"

enum { NN_COLUMNS = 4 };

/* All words of two outputs, two at a time; x is how many. `compare` tells whether the stream is at its end. */
#define NN_SPARSE_LOOP(step, compare)                                                                                  \
    "tst %[x], #1\n\t"                                                                                                 \
    "bne 2f\n\t"                                                                                                       \
    "b 3f\n"                                                                                                           \
    "1:\n\t" step "2:\n\t" step "3:\n\t" compare "bne 1b"

/* A word of weights is v; its low bytes are w. */
#define NN_SPARSE_WORD(shift)                                                                                          \
    "ldrb %[x], [%[stream]], #1\n\t"                                                                                   \
    "ldr %[v], [%[stream]], #4\n\t"                                                                                    \
    "add %[column], %[column], %[x], lsl #" shift "\n\t"                                                               \
    "sxtb16 %[w], %[v]\n\t"

#define NN_SPARSE_COLUMNS                                                                                              \
    NN_SPARSE_WORD("4")                                                                                                \
    "ldrd %[x], %[y], [%[column]]\n\t"                                                                                 \
    "smlad %[a], %[v], %[x], %[a]\n\t"                                                                                 \
    "smlad %[b], %[v], %[y], %[b]\n\t"                                                                                 \
    "smlad %[e], %[w], %[x], %[e]\n\t"                                                                                 \
    "smlad %[f], %[w], %[y], %[f]\n\t"                                                                                 \
    "ldrd %[x], %[y], [%[column], #8]\n\t"                                                                             \
    "smlad %[c], %[v], %[x], %[c]\n\t"                                                                                 \
    "smlad %[d], %[v], %[y], %[d]\n\t"                                                                                 \
    "smlad %[g], %[w], %[x], %[g]\n\t"                                                                                 \
    "smlad %[h], %[w], %[y], %[h]\n\t"

/* sums[2][NN_COLUMNS]: two outputs of all columns. Returns where the next two outputs begin. */
static inline NN_ROM uint8_t *nn_sparse_pairs_columns(NN_ROM uint8_t *stream, const int32_t *column, int32_t *sums)
{
    int32_t a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0, v, w, x = *stream++, y;
    NN_ROM uint8_t *end = stream + 5 * x;
    __asm__ volatile(
        NN_SPARSE_LOOP(NN_SPARSE_COLUMNS, "ldr %[x], %[end]\n\t"
                                          "cmp %[stream], %[x]\n\t")
        : [stream] "+r"(stream), [column] "+r"(column), [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [e] "+r"(e),
          [f] "+r"(f), [g] "+r"(g), [h] "+r"(h), [v] "=&r"(v), [w] "=&r"(w), [x] "+r"(x), [y] "=&r"(y)
        : [end] "m"(end)
        : "cc", "memory");
    sums[0] = (a - e) >> 8;
    sums[1] = (b - f) >> 8;
    sums[2] = (c - g) >> 8;
    sums[3] = (d - h) >> 8;
    sums[4] = e;
    sums[5] = f;
    sums[6] = g;
    sums[7] = h;
    return stream;
}

#define NN_SPARSE_COLUMN                                                                                               \
    NN_SPARSE_WORD("2")                                                                                                \
    "ldr %[x], [%[column]]\n\t"                                                                                        \
    "smlad %[a], %[v], %[x], %[a]\n\t"                                                                                 \
    "smlad %[b], %[w], %[x], %[b]\n\t"

/* The same of a single column; sums[2]. */
static inline NN_ROM uint8_t *nn_sparse_pairs_row(NN_ROM uint8_t *stream, const int32_t *column, int32_t *sums)
{
    int32_t a = 0, b = 0, v, w, x = *stream++;
    NN_ROM uint8_t *end = stream + 5 * x;
    __asm__ volatile(NN_SPARSE_LOOP(NN_SPARSE_COLUMN, "cmp %[stream], %[end]\n\t")
                     : [stream] "+r"(stream), [column] "+r"(column), [a] "+r"(a), [b] "+r"(b), [v] "=&r"(v),
                       [w] "=&r"(w), [x] "+r"(x)
                     : [end] "r"(end)
                     : "cc", "memory");
    sums[0] = (a - b) >> 8;
    sums[1] = b;
    return stream;
}

#endif
