/* The innermost loops of convolutions and dense layers: inner products of four rows of weights with several windows at
 * once. Values and weights are unsigned here, x + 128 and w + 128, which every processor loads and multiplies at least
 * as quickly as signed ones; what that adds, 128 * the sum of the window, is taken off before. */
#ifndef NN_BLOCK_H
#define NN_BLOCK_H

#include "nn_now.h"
#include "nn_unsigned.h"

enum { NN_ROWS = 4, NN_LANES = 4 };

static inline void nn_block_product(int32_t a, int32_t b, int32_t x, int32_t *of_a, int32_t *of_b)
{
    *of_a += a * x;
    *of_b += b * x;
    NN_NOW(*of_a, *of_b);
}

#ifdef __ARM_ARCH_6M__ /* eight registers that can multiply: one row at a time */

typedef struct {
    int32_t of[NN_LANES];
} nn_one_row_t;

/* One value of every lane times a weight. */
static inline void nn_block_tap(const uint8_t *x, NN_ROM uint8_t *weights, nn_one_row_t *sums)
{
    int32_t w = weights[0];
    sums->of[0] += w * x[0];
    NN_NOW(sums->of[0], w);
    sums->of[1] += w * x[1];
    NN_NOW(sums->of[1], w);
    sums->of[2] += w * x[2];
    NN_NOW(sums->of[2], w);
    sums->of[3] += w * x[3];
    NN_NOW(sums->of[3], w);
}

/* sums[NN_LANES]: one of the four rows. */
NN_APART static void nn_block_one_row(const uint8_t *patch, NN_ROM uint8_t *weights, int32_t count,
                                      const int32_t *start, int32_t *sums)
{
    nn_one_row_t row = {{start[0], start[1], start[2], start[3]}};
    const uint8_t *end = patch + (count & ~3) * NN_LANES;
    for (; patch != end; patch += 4 * NN_LANES, weights += 4 * NN_ROWS) {
        nn_block_tap(patch, weights, &row);
        nn_block_tap(patch + NN_LANES, weights + NN_ROWS, &row);
        nn_block_tap(patch + 2 * NN_LANES, weights + 2 * NN_ROWS, &row);
        nn_block_tap(patch + 3 * NN_LANES, weights + 3 * NN_ROWS, &row);
    }
    for (end += (count & 3) * NN_LANES; patch != end; patch += NN_LANES, weights += NN_ROWS) {
        nn_block_tap(patch, weights, &row);
    }
    sums[0] = row.of[0];
    sums[1] = row.of[1];
    sums[2] = row.of[2];
    sums[3] = row.of[3];
}

/* sums[NN_ROWS][NN_LANES] of all rows and lanes, in each lane onto `start`; patch: [count][NN_LANES], weights:
 * [count][NN_ROWS] */
static inline void nn_block_s8(const uint8_t *patch, NN_ROM uint8_t *weights, int32_t count, const int32_t *start,
                               int32_t *sums)
{
    for (int32_t row = 0; row < NN_ROWS; row++) {
        nn_block_one_row(patch, weights + row, count, start, sums + row * NN_LANES);
    }
}

#else

typedef struct {
    int32_t a[NN_LANES], b[NN_LANES];
} nn_two_rows_t;

/* One value of every lane times a weight of two rows. */
static inline void nn_block_tap(const uint8_t *x, NN_ROM uint8_t *weights, nn_two_rows_t *sums)
{
    int32_t a = weights[0], b = weights[1];
    nn_block_product(a, b, x[0], &sums->a[0], &sums->b[0]);
    nn_block_product(a, b, x[1], &sums->a[1], &sums->b[1]);
    nn_block_product(a, b, x[2], &sums->a[2], &sums->b[2]);
    nn_block_product(a, b, x[3], &sums->a[3], &sums->b[3]);
}

/* Two of the four rows. */
NN_APART static void nn_block_two_rows(const uint8_t *patch, NN_ROM uint8_t *weights, int32_t count,
                                       const int32_t *start, int32_t *to)
{
    nn_two_rows_t sums = {{start[0], start[1], start[2], start[3]}, {start[0], start[1], start[2], start[3]}};
    const uint8_t *end = patch + (count & ~7) * NN_LANES;
    for (; patch != end; patch += 8 * NN_LANES, weights += 8 * NN_ROWS) {
        nn_block_tap(patch, weights, &sums);
        nn_block_tap(patch + NN_LANES, weights + NN_ROWS, &sums);
        nn_block_tap(patch + 2 * NN_LANES, weights + 2 * NN_ROWS, &sums);
        nn_block_tap(patch + 3 * NN_LANES, weights + 3 * NN_ROWS, &sums);
        nn_block_tap(patch + 4 * NN_LANES, weights + 4 * NN_ROWS, &sums);
        nn_block_tap(patch + 5 * NN_LANES, weights + 5 * NN_ROWS, &sums);
        nn_block_tap(patch + 6 * NN_LANES, weights + 6 * NN_ROWS, &sums);
        nn_block_tap(patch + 7 * NN_LANES, weights + 7 * NN_ROWS, &sums);
    }
    for (end += (count & 7) * NN_LANES; patch != end; patch += NN_LANES, weights += NN_ROWS) {
        nn_block_tap(patch, weights, &sums);
    }
    to[0] = sums.a[0];
    to[1] = sums.a[1];
    to[2] = sums.a[2];
    to[3] = sums.a[3];
    to[4] = sums.b[0];
    to[5] = sums.b[1];
    to[6] = sums.b[2];
    to[7] = sums.b[3];
}

/* sums[NN_ROWS][NN_LANES] of all rows and lanes, in each lane onto `start`; patch: [count][NN_LANES], weights:
 * [count][NN_ROWS] */
static inline void nn_block_s8(const uint8_t *patch, NN_ROM uint8_t *weights, int32_t count, const int32_t *start,
                               int32_t *sums)
{
    nn_block_two_rows(patch, weights, count, start, sums);
    nn_block_two_rows(patch, weights + 2, count, start, sums + 2 * NN_LANES);
}

#endif

/* sums[NN_ROWS] of one window, whose values lie `step` bytes apart; weights: [count][NN_ROWS] */
static inline void nn_block_window(const uint8_t *x, int32_t step, NN_ROM uint8_t *weights, int32_t count,
                                   int32_t *sums)
{
    int32_t a = 0, b = 0, c = 0, d = 0;
    for (NN_ROM uint8_t *end = weights + count * NN_ROWS; weights != end; weights += NN_ROWS) {
        int32_t value = *x;
        x += step;
        if (value != 0) { /* behind a ReLU many are */
            nn_block_product(weights[0], weights[1], value, &a, &b);
            nn_block_product(weights[2], weights[3], value, &c, &d);
        }
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

/* sums[NN_ROWS] of one lane of a patch. */
static inline void nn_block_lane_s8(const uint8_t *lane, NN_ROM uint8_t *weights, int32_t count, int32_t *sums)
{
    nn_block_window(lane, NN_LANES, weights, count, sums);
}

enum { NN_MOST_ROWS = NN_ROWS };

/* sums[NN_MOST_ROWS] of x [count] for as many of the next rows as it likes to do at once; returns how many. */
static inline int32_t nn_block_rows_s8(const uint8_t *x, NN_ROM uint8_t *weights, int32_t count, int32_t rows,
                                       int32_t *sums)
{
    nn_block_window(x, 1, weights, count, sums);
    return nn_min(rows, NN_ROWS);
}

#endif
