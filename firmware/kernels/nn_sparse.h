/* Weights of which most are zero: a stream that names the others. A row has for each pair of them a byte with two
 * distances, how far each weight lies behind the one before it (the low bits are the first's), and the two weights. The
 * last byte of distances has but one, which may be that of a last weight, or 0. Where a distance does not fit four
 * bits, a weight of zero stands. */
#ifndef NN_SPARSE_H
#define NN_SPARSE_H

#include "nn.h"
#include "nn_now.h"

enum { NN_WIDE = 8 }; /* lanes of a patch */

typedef struct {
    int32_t of[NN_WIDE];
} nn_wide_t;

/* One weight times a value of every lane. */
static inline void nn_sparse_weight(const uint8_t *x, int8_t weight, nn_wide_t *sums)
{
    int32_t w = weight;
    sums->of[0] += w * x[0];
    sums->of[1] += w * x[1];
    NN_NOW(sums->of[0], sums->of[1]);
    sums->of[2] += w * x[2];
    sums->of[3] += w * x[3];
    NN_NOW(sums->of[2], sums->of[3]);
    sums->of[4] += w * x[4];
    sums->of[5] += w * x[5];
    NN_NOW(sums->of[4], sums->of[5]);
    sums->of[6] += w * x[6];
    sums->of[7] += w * x[7];
    NN_NOW(sums->of[6], sums->of[7]);
}

/* sums[NN_WIDE]: those of a row, each begun with `bias`; x: [count][NN_WIDE]. Returns where the next row begins. */
NN_APART static NN_ROM uint8_t *nn_sparse_lanes(const uint8_t *x, NN_ROM uint8_t *row, int32_t bias, int32_t *sums)
{
    nn_wide_t wide = {{bias, bias, bias, bias, bias, bias, bias, bias}};
    uint32_t distances = *row++;
    for (; distances > 15; distances = row[-1]) {
        x += (distances & 15) * NN_WIDE;
        nn_sparse_weight(x, (int8_t)row[0], &wide);
        x += (distances >> 4) * NN_WIDE;
        nn_sparse_weight(x, (int8_t)row[1], &wide);
        row += 3;
    }
    if (distances > 0) {
        nn_sparse_weight(x + distances * NN_WIDE, (int8_t)*row++, &wide);
    }
    sums[0] = wide.of[0];
    sums[1] = wide.of[1];
    sums[2] = wide.of[2];
    sums[3] = wide.of[3];
    sums[4] = wide.of[4];
    sums[5] = wide.of[5];
    sums[6] = wide.of[6];
    sums[7] = wide.of[7];
    return row;
}

/* The same of one window, x: [count]; onto *sum. */
static inline NN_ROM uint8_t *nn_sparse_row(const uint8_t *x, NN_ROM uint8_t *row, int32_t *sum)
{
    int32_t total = *sum;
    uint32_t distances = *row++;
    for (; distances > 15; distances = row[-1]) {
        x += distances & 15;
        total += (int8_t)row[0] * *x;
        x += distances >> 4;
        total += (int8_t)row[1] * *x;
        row += 3;
    }
    if (distances > 0) {
        total += (int8_t)*row++ * x[distances];
    }
    *sum = total;
    return row;
}

#endif
