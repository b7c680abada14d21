/* The layout `pairs`, which pipeline/ops/pairs.py makes, for cores that add two products an instruction. Four outputs
 * and four values of k take four words of weights; each half of a word is 256 * one weight + another, so that one
 * product serves two outputs. */
#ifndef NN_PAIRS_H
#define NN_PAIRS_H

#include "nn.h"

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

/* As nn_requantize() rounds; `offset` is twice the output's offset, plus one. */
static inline int8_t nn_scaled(int32_t sum, nn_scale_t scale, int32_t offset)
{
    int64_t value = (int64_t)sum + (scale.bias >> 5);
    int32_t high = (int32_t)((value * (uint32_t)scale.multiplier + ((int64_t)1 << 31)) >> 32);
    return nn_clamp_s8((((high - (high < 0)) >> scale.shift) + offset) >> 1, INT8_MIN, INT8_MAX);
}

/* Outputs that a fused activation keeps in [min, max]. */
static inline void nn_limit(int8_t *output, int32_t count, int32_t min, int32_t max)
{
    for (int32_t i = 0; (min > INT8_MIN || max < INT8_MAX) && i < count; i++) {
        output[i] = nn_clamp_s8(output[i], min, max);
    }
}

static inline int32_t nn_pair(int32_t low, int32_t high)
{
    return (int32_t)(((uint32_t)low & 0xFFFFu) | (uint32_t)high << 16);
}

static inline int32_t nn_low(int32_t word)
{
    return (int16_t)(word & 0xFFFF);
}

/* Two values of x for two outputs. */
static inline void nn_pairs_word(int32_t weights, int32_t x, int32_t *sums)
{
    for (int8_t half = 0; half < 2; half++, weights >>= 16, x >>= 16) {
        int32_t both = nn_low(weights), second = (int8_t)(both & 0xFF);
        sums[0] += (both - second) / 256 * nn_low(x);
        sums[1] += second * nn_low(x);
    }
}

/* Four values of x for four outputs: word[0] holds values 0 and 2, word[1] values 1 and 3. */
static inline void nn_pairs_four(NN_ROM int32_t *weights, const int32_t *word, int32_t *sums)
{
    for (int8_t i = 0; i < 4; i++) {
        nn_pairs_word(weights[i], word[i / 2], sums + i % 2 * 2);
    }
}

/* x widened to every `lanes`th word of `column`; count: a multiple of four. Returns the column's rest. */
static inline int32_t *nn_widen(const int8_t *x, int32_t count, int32_t *column, int32_t lanes)
{
    for (; count > 0; count -= 4, x += 4, column += 2 * lanes) {
        column[0] = nn_pair(x[0], x[2]);
        column[lanes] = nn_pair(x[1], x[3]);
    }
    return column;
}

/* `count` bytes to `to`; returns its end. */
static inline int8_t *nn_append(int8_t *to, const int8_t *x, int32_t count)
{
    for (; count >= 4; count -= 4, to += 4, x += 4) {
        __builtin_memcpy(to, x, 4);
    }
    for (; count > 0; count--) {
        *to++ = *x++;
    }
    return to;
}

/* sums[4][2]: four outputs of two columns, of `groups` times four values. */
static inline void nn_pairs_columns(NN_ROM int32_t *weights, const int32_t *columns, int32_t groups, int32_t *sums)
{
    for (int8_t place = 0; place < 2; place++) {
        int32_t one[4] = {0};
        for (int32_t i = 0; i < groups; i++) {
            const int32_t word[2] = {columns[4 * i + place], columns[4 * i + 2 + place]};
            nn_pairs_four(weights + 4 * i, word, one);
        }
        for (int8_t i = 0; i < 4; i++) {
            sums[2 * i + place] = one[i];
        }
    }
}

/* The first `count` of four outputs of both columns. */
static inline void nn_pairs_store(const int32_t *sums, NN_ROM int32_t *rescale, int32_t offset, int32_t count,
                                  int8_t *first, int8_t *second)
{
    for (int32_t i = 0; i < count; i++) {
        nn_scale_t scale = nn_scale_of(rescale + 2 * i);
        first[i] = nn_scaled(sums[2 * i], scale, offset);
        second[i] = nn_scaled(sums[2 * i + 1], scale, offset);
    }
}

/* The first `count` of four outputs. */
static inline void nn_pairs_store_row(const int32_t *sums, NN_ROM int32_t *rescale, int32_t offset, int32_t count,
                                      int8_t *output)
{
    for (int32_t i = 0; i < count; i++) {
        output[i] = nn_scaled(sums[i], nn_scale_of(rescale + 2 * i), offset);
    }
}

/* sums[4]: four outputs of x int8 [count]. */
static inline void nn_pairs_row(NN_ROM int32_t *weights, const int8_t *x, int32_t count, int32_t *sums)
{
    for (int8_t i = 0; i < 4; i++) {
        sums[i] = 0;
    }
    for (int32_t i = 0; i < count; i += 4) {
        int32_t rest = count - i;
        const int32_t word[2] = {nn_pair(x[i], rest > 2 ? x[i + 2] : 0),
                                 nn_pair(rest > 1 ? x[i + 1] : 0, rest > 3 ? x[i + 3] : 0)};
        nn_pairs_four(weights + i, word, sums);
    }
}

#endif
