/* The layout `pairs` for cores with Arm's DSP extension (Cortex-M4, M7, M33); see the portable nn_pairs.h. */
#ifndef NN_PAIRS_H
#define NN_PAIRS_H

#include "nn_dot.h"

enum { NN_BLOCK = 4 };

/* How an output's sum becomes its int8. */
typedef struct {
    int32_t multiplier; /* twice TFLite's, modulo 2^32 */
    int32_t bias;       /* times 32 */
    int32_t shift;      /* to the right, less one */
} nn_scale_t;

/* `rescale`: [outputs][2], the multiplier, and bias and shift in one word */
static inline nn_scale_t nn_scale_of(NN_ROM int32_t *rescale)
{
    return (nn_scale_t){rescale[0], rescale[1], rescale[1] & 31};
}

/* A sum with its bias, as nn_requantize() rounds; `offset` is twice the output's offset, plus one. The multiplier lacks
 * 2^32, which makes one sum too few in the high word: smmlar adds it. */
static inline int8_t nn_rescaled(int32_t sum, int32_t multiplier, int32_t shift, int32_t offset)
{
    __asm__("smmlar %0, %0, %1, %0\n\t"
            "add %0, %0, %0, asr #31\n\t"
            "asr %0, %0, %2\n\t"
            "add %0, %0, %3\n\t"
            "ssat %0, #8, %0, asr #1"
            : "+r"(sum)
            : "r"(multiplier), "r"(shift), "r"(offset));
    return (int8_t)sum;
}

static inline int8_t nn_scaled(int32_t sum, nn_scale_t scale, int32_t offset)
{
    return nn_rescaled(sum + (scale.bias >> 5), scale.multiplier, scale.shift, offset);
}

static inline int32_t nn_pair(int32_t low, int32_t high)
{
    int32_t word;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(word) : "r"(low), "r"(high));
    return word;
}

/* Outputs that a fused activation keeps in [min, max]. */
static inline void nn_limit(int8_t *output, int32_t count, int32_t min, int32_t max)
{
    for (int32_t i = 0; (min > INT8_MIN || max < INT8_MAX) && i < count; i++) {
        output[i] = nn_clamp_s8(output[i], min, max);
    }
}

#define NN_WIDEN(lanes)                                                                                                \
    __attribute__((noinline, unused)) static int32_t *nn_widen_##lanes(const int8_t *x, int32_t count,                 \
                                                                       int32_t *column)                                \
    {                                                                                                                  \
        int32_t even, odd, left = count >> 3;                                                                          \
        __asm__ volatile(                                                                                              \
            "tst %[count], #4\n\t"                                                                                     \
            "beq 2f\n\t"                                                                                               \
            "b 3f\n"                                                                                                   \
            "1:\n\t"                                                                                                   \
            "ldr %[even], [%[x]], #4\n\t"                                                                              \
            "sub %[left], %[left], #1\n\t"                                                                             \
            "sxtb16 %[odd], %[even], ror #8\n\t"                                                                       \
            "sxtb16 %[even], %[even]\n\t"                                                                              \
            "str %[even], [%[column]], #4*" #lanes "\n\t"                                                              \
            "str %[odd], [%[column]], #4*" #lanes "\n"                                                                 \
            "3:\n\t"                                                                                                   \
            "ldr %[even], [%[x]], #4\n\t"                                                                              \
            "sxtb16 %[odd], %[even], ror #8\n\t"                                                                       \
            "sxtb16 %[even], %[even]\n\t"                                                                              \
            "str %[even], [%[column]], #4*" #lanes "\n\t"                                                              \
            "str %[odd], [%[column]], #4*" #lanes "\n"                                                                 \
            "2:\n\t"                                                                                                   \
            "cmp %[left], #0\n\t"                                                                                      \
            "bne 1b"                                                                                                   \
            : [x] "+&r"(x), [column] "+&r"(column), [left] "+&r"(left), [even] "=&r"(even), [odd] "=&r"(odd)           \
            : [count] "r"(count)                                                                                       \
            : "cc", "memory");                                                                                         \
        return column;                                                                                                 \
    }

NN_WIDEN(1)
NN_WIDEN(2)
NN_WIDEN(4)

/* x widened to every `lanes`th word of `column`, a constant; count: a multiple of four. Returns the column's rest. */
static inline __attribute__((always_inline)) int32_t *nn_widen(const int8_t *x, int32_t count, int32_t *column,
                                                               int32_t lanes)
{
    return lanes == 4   ? nn_widen_4(x, count, column)
           : lanes == 2 ? nn_widen_2(x, count, column)
                        : nn_widen_1(x, count, column);
}

/* `count` bytes to `to`; returns its end. */
__attribute__((noinline, unused)) static int8_t *nn_append(int8_t *to, const int8_t *x, int32_t count)
{
    for (; count >= 4; count -= 4, to += 4, x += 4) {
        __builtin_memcpy(to, x, 4);
    }
    for (; count > 0; count--) {
        *to++ = *x++;
    }
    return to;
}

/* Two values of k of four outputs and two columns: x in r0, r1 ... */
#define NN_PAIRS_STEP                                                                                                  \
    "ldrd %[x], %[y], [%[columns]], #8\n\t"                                                                            \
    "ldr %[w], [%[weights]], #4\n\t"                                                                                   \
    "smlad %[a], %[w], %[x], %[a]\n\t"                                                                                 \
    "smlad %[e], %[w], %[y], %[e]\n\t"                                                                                 \
    "sxtb16 %[w], %[w]\n\t"                                                                                            \
    "smlad %[b], %[w], %[x], %[b]\n\t"                                                                                 \
    "smlad %[f], %[w], %[y], %[f]\n\t"                                                                                 \
    "ldr %[w], [%[weights]], #4\n\t"                                                                                   \
    "smlad %[c], %[w], %[x], %[c]\n\t"                                                                                 \
    "smlad %[g], %[w], %[y], %[g]\n\t"                                                                                 \
    "sxtb16 %[w], %[w]\n\t"                                                                                            \
    "smlad %[d], %[w], %[x], %[d]\n\t"                                                                                 \
    "smlad %[h], %[w], %[y], %[h]\n\t"

/* sums[4][2]: four outputs of two columns, of `groups` times four values. A word of weights times x gives 256 times the
 * first output's sum and the second's; its low bytes times x give the second's alone. */
static inline void nn_pairs_columns(NN_ROM int32_t *weights, const int32_t *columns, int32_t groups, int32_t *sums)
{
    int32_t a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0, x, y, w = groups & 1;
    const int32_t *end = columns + 4 * groups;
    __asm__ volatile(
        "cmp %[w], #0\n\t"
        "bne 2f\n"
        "1:\n\t" NN_PAIRS_STEP NN_PAIRS_STEP "2:\n\t" NN_PAIRS_STEP NN_PAIRS_STEP "ldr %[w], %[end]\n\t"
        "cmp %[columns], %[w]\n\t"
        "bne 1b"
        : [columns] "+r"(columns), [weights] "+r"(weights), [w] "+r"(w), [a] "+r"(a), [b] "+r"(b), [c] "+r"(c),
          [d] "+r"(d), [e] "+r"(e), [f] "+r"(f), [g] "+r"(g), [h] "+r"(h), [x] "=&r"(x), [y] "=&r"(y)
        : [end] "m"(end)
        : "cc", "memory");
    sums[0] = (a - b) >> 8;
    sums[1] = (e - f) >> 8;
    sums[2] = b;
    sums[3] = f;
    sums[4] = (c - d) >> 8;
    sums[5] = (g - h) >> 8;
    sums[6] = d;
    sums[7] = h;
}

/* The first `count` of four outputs of both columns. */
static inline void nn_pairs_store(const int32_t *sums, NN_ROM int32_t *rescale, int32_t offset, int32_t count,
                                  int8_t *first, int8_t *second)
{
#pragma GCC unroll 4
    for (int32_t i = 0; i < NN_BLOCK; i++) {
        if (i > 0 && i == count) {
            break;
        }
        nn_scale_t scale = nn_scale_of(rescale + 2 * i);
        first[i] = nn_scaled(sums[2 * i], scale, offset);
        second[i] = nn_scaled(sums[2 * i + 1], scale, offset);
    }
}

/* The first `count` of four outputs. */
static inline void nn_pairs_store_row(const int32_t *sums, NN_ROM int32_t *rescale, int32_t offset, int32_t count,
                                      int8_t *output)
{
#pragma GCC unroll 4
    for (int32_t i = 0; i < NN_BLOCK; i++) {
        if (i > 0 && i == count) {
            break;
        }
        output[i] = nn_scaled(sums[i], nn_scale_of(rescale + 2 * i), offset);
    }
}

#define NN_ROW_HALF(word, x, first, second)                                                                            \
    "smlad " first ", " word ", " x ", " first "\n\t"                                                                  \
    "sxtb16 " word ", " word "\n\t"                                                                                    \
    "smlad " second ", " word ", " x ", " second "\n\t"
#define NN_ROW_STEP                                                                                                    \
    "ldr %[odd], [%[x]], #4\n\t"                                                                                       \
    "ldrd %[u], %[v], [%[w]], #8\n\t"                                                                                  \
    "sxtb16 %[even], %[odd]\n\t"                                                                                       \
    "sxtb16 %[odd], %[odd], ror #8\n\t" /* */                                                                          \
        NN_ROW_HALF("%[u]", "%[even]", "%[a]", "%[b]")                                                                 \
            NN_ROW_HALF("%[v]", "%[even]", "%[c]", "%[d]") "ldrd %[u], %[v], [%[w]], #8\n\t" /* */                     \
        NN_ROW_HALF("%[u]", "%[odd]", "%[a]", "%[b]") NN_ROW_HALF("%[v]", "%[odd]", "%[c]", "%[d]")

/* sums[4]: four outputs of x int8 [count]. */
static inline void nn_pairs_row(NN_ROM int32_t *weights, const int8_t *x, int32_t count, int32_t *sums)
{
    int32_t a = 0, b = 0, c = 0, d = 0, even, odd, u, v;
    const int8_t *end = x + (count & ~7);
    __asm__ volatile("b 2f\n"
                     "1:\n\t" NN_ROW_STEP NN_ROW_STEP "2:\n\t"
                     "cmp %[x], %[end]\n\t"
                     "bne 1b\n\t"
                     "tst %[count], #4\n\t"
                     "beq 3f\n\t" NN_ROW_STEP "3:"
                     : [x] "+&r"(x), [w] "+&r"(weights), [a] "+&r"(a), [b] "+&r"(b), [c] "+&r"(c), [d] "+&r"(d),
                       [even] "=&r"(even), [odd] "=&r"(odd), [u] "=&r"(u), [v] "=&r"(v)
                     : [end] "r"(end), [count] "r"(count)
                     : "cc", "memory");
    if (count & 3) {
        uint32_t word = 0;
        for (int32_t i = 0; i < (count & 3); i++) {
            word |= (uint32_t)(uint8_t)x[i] << (8 * i);
        }
        int16x2_t low = __sxtb16((int8x4_t)word), high = nn_odd_bytes(word);
        a = __smlad((int16x2_t)weights[2], high, __smlad((int16x2_t)weights[0], low, a));
        c = __smlad((int16x2_t)weights[3], high, __smlad((int16x2_t)weights[1], low, c));
        b = __smlad(__sxtb16((int8x4_t)weights[2]), high, __smlad(__sxtb16((int8x4_t)weights[0]), low, b));
        d = __smlad(__sxtb16((int8x4_t)weights[3]), high, __smlad(__sxtb16((int8x4_t)weights[1]), low, d));
    }
    sums[0] = (a - b) >> 8;
    sums[1] = b;
    sums[2] = (c - d) >> 8;
    sums[3] = d;
}

#endif
