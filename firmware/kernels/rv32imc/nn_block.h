/* nn_block.h for RV32IM: four rows and four windows at once, or sixteen rows, in its many registers. */
#ifndef NN_BLOCK_H
#define NN_BLOCK_H

#include "nn_now.h"
#include "nn_unsigned.h"

enum { NN_ROWS = 4, NN_LANES = 4, NN_MOST_ROWS = 16 };

typedef struct {
    int32_t a, b, c, d;
} nn_four_t;

/* Four values times x. */
static inline void nn_block_four(int32_t a, int32_t b, int32_t c, int32_t d, int32_t x, nn_four_t *sums)
{
    sums->a += a * x;
    sums->b += b * x;
    NN_NOW(sums->a, sums->b);
    sums->c += c * x;
    sums->d += d * x;
    NN_NOW(sums->c, sums->d);
}

static inline void nn_block_weights(NN_ROM uint8_t *weights, int32_t x, nn_four_t *sums)
{
    sums->a += weights[0] * x;
    sums->b += weights[1] * x;
    NN_NOW(sums->a, sums->b);
    sums->c += weights[2] * x;
    sums->d += weights[3] * x;
    NN_NOW(sums->c, sums->d);
}

static inline void nn_block_store(nn_four_t four, int32_t *sums)
{
    sums[0] = four.a;
    sums[1] = four.b;
    sums[2] = four.c;
    sums[3] = four.d;
}

typedef struct {
    nn_four_t rows[4];
} nn_sixteen_t;

/* One value of every lane times a weight of every row. */
static inline void nn_block_tap(const uint8_t *x, NN_ROM uint8_t *weights, nn_sixteen_t *sums)
{
    int32_t a = x[0], b = x[1], c = x[2], d = x[3];
    nn_block_four(a, b, c, d, weights[0], &sums->rows[0]);
    nn_block_four(a, b, c, d, weights[1], &sums->rows[1]);
    nn_block_four(a, b, c, d, weights[2], &sums->rows[2]);
    nn_block_four(a, b, c, d, weights[3], &sums->rows[3]);
}

/* sums[NN_ROWS][NN_LANES] of all rows and lanes, in each lane onto `start`; patch: [count][NN_LANES], weights:
 * [count][NN_ROWS] */
NN_APART static void nn_block_s8(const uint8_t *patch, NN_ROM uint8_t *weights, int32_t count, const int32_t *start,
                                 int32_t *sums)
{
    const nn_four_t four = {start[0], start[1], start[2], start[3]};
    nn_sixteen_t sixteen = {{four, four, four, four}};
    const uint8_t *end = patch + count * NN_LANES;
    if (count & 1) {
        nn_block_tap(patch, weights, &sixteen);
        patch += NN_LANES;
        weights += NN_ROWS;
    }
    for (; patch != end; patch += 2 * NN_LANES, weights += 2 * NN_ROWS) {
        nn_block_tap(patch, weights, &sixteen);
        nn_block_tap(patch + NN_LANES, weights + NN_ROWS, &sixteen);
    }
    nn_block_store(sixteen.rows[0], sums);
    nn_block_store(sixteen.rows[1], sums + NN_LANES);
    nn_block_store(sixteen.rows[2], sums + 2 * NN_LANES);
    nn_block_store(sixteen.rows[3], sums + 3 * NN_LANES);
}

/* sums[NN_ROWS] of one window, whose values lie `step` bytes apart; weights: [count][NN_ROWS] */
static inline void nn_block_window(const uint8_t *x, int32_t step, NN_ROM uint8_t *weights, int32_t count,
                                   int32_t *sums)
{
    nn_four_t four = {0, 0, 0, 0};
    NN_ROM uint8_t *end = weights + count * NN_ROWS;
    for (; end - weights >= 4 * NN_ROWS; weights += 4 * NN_ROWS, x += 4 * step) {
        nn_block_weights(weights, x[0], &four);
        nn_block_weights(weights + NN_ROWS, x[step], &four);
        nn_block_weights(weights + 2 * NN_ROWS, x[2 * step], &four);
        nn_block_weights(weights + 3 * NN_ROWS, x[3 * step], &four);
    }
    for (; weights != end; weights += NN_ROWS, x += step) {
        nn_block_weights(weights, *x, &four);
    }
    nn_block_store(four, sums);
}

/* sums[NN_ROWS] of one lane of a patch. */
static inline void nn_block_lane_s8(const uint8_t *lane, NN_ROM uint8_t *weights, int32_t count, int32_t *sums)
{
    nn_block_window(lane, NN_LANES, weights, count, sums);
}

/* One value times a weight of sixteen rows, in four blocks. Behind a ReLU many values are its zero: no work at all. */
static inline void nn_block_column(int32_t x, NN_ROM uint8_t *weights[4], int32_t at, nn_sixteen_t *sums)
{
    if (x == 0) {
        return;
    }
    nn_block_weights(weights[0] + at, x, &sums->rows[0]);
    nn_block_weights(weights[1] + at, x, &sums->rows[1]);
    nn_block_weights(weights[2] + at, x, &sums->rows[2]);
    nn_block_weights(weights[3] + at, x, &sums->rows[3]);
}

static inline void nn_block_next(NN_ROM uint8_t *weights[4], int32_t columns)
{
    weights[0] += columns * NN_ROWS;
    weights[1] += columns * NN_ROWS;
    weights[2] += columns * NN_ROWS;
    weights[3] += columns * NN_ROWS;
}

NN_APART static void nn_block_sixteen(const uint8_t *x, NN_ROM uint8_t *weights, int32_t count, int32_t *sums)
{
    nn_sixteen_t sixteen = {{{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}}};
    int32_t block = count * NN_ROWS;
    NN_ROM uint8_t *blocks[4] = {weights, weights + block, weights + 2 * block, weights + 3 * block};
    for (const uint8_t *end = x + (count & 7); x != end; x++) {
        nn_block_column(*x, blocks, 0, &sixteen);
        nn_block_next(blocks, 1);
    }
    for (const uint8_t *end = x + (count & ~7); x != end; x += 8) {
        nn_block_column(x[0], blocks, 0, &sixteen);
        nn_block_column(x[1], blocks, NN_ROWS, &sixteen);
        nn_block_column(x[2], blocks, 2 * NN_ROWS, &sixteen);
        nn_block_column(x[3], blocks, 3 * NN_ROWS, &sixteen);
        nn_block_column(x[4], blocks, 4 * NN_ROWS, &sixteen);
        nn_block_column(x[5], blocks, 5 * NN_ROWS, &sixteen);
        nn_block_column(x[6], blocks, 6 * NN_ROWS, &sixteen);
        nn_block_column(x[7], blocks, 7 * NN_ROWS, &sixteen);
        nn_block_next(blocks, 8);
    }
    nn_block_store(sixteen.rows[0], sums);
    nn_block_store(sixteen.rows[1], sums + NN_ROWS);
    nn_block_store(sixteen.rows[2], sums + 2 * NN_ROWS);
    nn_block_store(sixteen.rows[3], sums + 3 * NN_ROWS);
}

/* sums[NN_MOST_ROWS] of x [count] for as many of the next rows as it likes to do at once; returns how many. */
static inline int32_t nn_block_rows_s8(const uint8_t *x, NN_ROM uint8_t *weights, int32_t count, int32_t rows,
                                       int32_t *sums)
{
    if (rows >= NN_MOST_ROWS) {
        nn_block_sixteen(x, weights, count, sums);
        return NN_MOST_ROWS;
    }
    nn_block_window(x, 1, weights, count, sums);
    return nn_min(rows, NN_ROWS);
}

#endif
