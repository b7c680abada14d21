/* One channel on its own, four outputs of a filter of 3 x 3 at a time; see the portable nn_plane.h. */
#ifndef NN_PLANE_H
#define NN_PLANE_H

#include "nn_now.h"
#include "nn_output.h"
#include "nn_pairs.h"

typedef struct {
    nn_size_t kernel, stride;
    int32_t width; /* values of a row of the plane, even */
} nn_plane_t;

/* A channel of an image outside the plane: one step to the right, one down, in bytes. */
typedef struct {
    nn_size_t size;
    int32_t step, row;
} nn_channel_t;

/* A channel of x to a plane with `width` values in a row. */
NN_APART static void nn_plane_copy(const int8_t *x, const nn_channel_t *c, int16_t *to, int32_t width)
{
    const int32_t step = c->step, columns = c->size.width;
    for (int32_t rows = c->size.height; rows > 0; rows--, x += c->row, to += width) {
        const int8_t *from = x;
        for (int16_t *place = to, *end = to + columns; place != end; place++, from += step) {
            *place = *from;
        }
    }
}

typedef struct {
    int32_t a, b, c, d;
} nn_four_t;

/* A row of the filter for four neighbouring windows. */
static inline nn_four_t nn_plane_row(const int16_t *x, const int32_t *w, nn_four_t sums)
{
    const int32_t first = w[0], second = w[1], third = w[2];
    int32_t value = x[0];
    sums.a += first * value;
    value = x[1];
    sums.a += second * value;
    sums.b += first * value;
    NN_NOW(sums.a, sums.b);
    value = x[2];
    sums.a += third * value;
    sums.b += second * value;
    sums.c += first * value;
    NN_NOW(sums.b, sums.c);
    value = x[3];
    sums.b += third * value;
    sums.c += second * value;
    sums.d += first * value;
    NN_NOW(sums.c, sums.d);
    value = x[4];
    sums.c += third * value;
    sums.d += second * value;
    NN_NOW(sums.c, sums.d);
    sums.d += third * x[5];
    return sums;
}

/* The same for windows two columns apart. */
static inline nn_four_t nn_plane_row_of_two(const int16_t *x, const int32_t *w, nn_four_t sums)
{
    const int32_t first = w[0], second = w[1], third = w[2];
    int32_t value = x[2];
    sums.a += first * x[0];
    sums.a += second * x[1];
    sums.a += third * value;
    sums.b += first * value;
    NN_NOW(sums.a, sums.b);
    value = x[4];
    sums.b += second * x[3];
    sums.b += third * value;
    sums.c += first * value;
    NN_NOW(sums.b, sums.c);
    value = x[6];
    sums.c += second * x[5];
    sums.c += third * value;
    sums.d += first * value;
    NN_NOW(sums.c, sums.d);
    sums.d += second * x[7];
    sums.d += third * x[8];
    return sums;
}

/* The sums of `count` windows side by side, at least four, of a filter w [3][3]. */
NN_APART static void nn_plane_three(const int16_t *x, int32_t width, int32_t stride, const int32_t *w, int32_t count,
                                    int32_t *sums)
{
    for (int32_t i = 0; i < count; i += 4) {
        i = nn_min(i, count - 4);
        const int16_t *corner = x + i * stride;
        nn_four_t four = {0, 0, 0, 0};
        if (stride == 1) {
            four = nn_plane_row(corner, w, four);
            four = nn_plane_row(corner + width, w + 3, four);
            four = nn_plane_row(corner + 2 * width, w + 6, four);
        } else {
            four = nn_plane_row_of_two(corner, w, four);
            four = nn_plane_row_of_two(corner + width, w + 3, four);
            four = nn_plane_row_of_two(corner + 2 * width, w + 6, four);
        }
        sums[i] = four.a;
        sums[i + 1] = four.b;
        sums[i + 2] = four.c;
        sums[i + 3] = four.d;
    }
}

/* The sum of one window of any size. */
static inline int32_t nn_plane_window(const nn_plane_t *p, const int16_t *corner, NN_ROM int8_t *weights)
{
    int32_t sum = 0;
    for (int32_t row = 0; row < p->kernel.height; row++, corner += p->width) {
        for (int32_t column = 0; column < p->kernel.width; column++) {
            sum += *weights++ * corner[column];
        }
    }
    return sum;
}

/* All outputs of one filter int8 [kernel height][kernel width]; `offset` as in nn_scaled(). */
NN_APART static void nn_plane_filter(const nn_plane_t *p, const int16_t *plane, NN_ROM int8_t *weights,
                                     nn_scale_t scale, int32_t offset, int8_t *output, const nn_channel_t *c)
{
    enum { RUN = 32 };
    const int32_t multiplier = (int32_t)((uint32_t)scale.multiplier >> 1), stride = p->stride.width;
    const int8_t shift = (int8_t)(-1 - scale.shift);
    nn_scaler_t scaler;
    const nn_channels_t to = {{offset >> 1, INT8_MIN, INT8_MAX}, &multiplier, &shift, &scaler};
    const int8_t three = p->kernel.height == 3 && p->kernel.width == 3 && stride <= 2;
    int32_t w[9], sums[RUN];
    nn_scaler(&to.to, scale.bias >> 5, multiplier, shift, &scaler);
    for (int32_t i = 0; three && i < 9; i++) {
        w[i] = weights[i];
    }
    for (int32_t row = 0; row < c->size.height; row++, output += c->row, plane += p->stride.height * p->width) {
        for (int32_t first = 0, count; first < c->size.width; first += count) {
            count = nn_min(c->size.width - first, RUN);
            if (three && count >= 4) {
                nn_plane_three(plane + first * stride, p->width, stride, w, count, sums);
            } else {
                for (int32_t i = 0; i < count; i++) {
                    sums[i] = nn_plane_window(p, plane + (first + i) * stride, weights);
                }
            }
            nn_outputs(&to, 0, sums, count, output + first * c->step, c->step);
        }
    }
}

#endif
