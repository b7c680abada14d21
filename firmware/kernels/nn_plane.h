/* One channel of an image on its own, widened to 16 bits, with its padding around it: what depthwise convolutions with
 * filters in planes slide over. */
#ifndef NN_PLANE_H
#define NN_PLANE_H

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
static inline void nn_plane_copy(const int8_t *x, const nn_channel_t *c, int16_t *to, int32_t width)
{
    for (int32_t i = 0; i < (int32_t)c->size.height * c->size.width; i++) {
        int32_t row = i / c->size.width, column = i % c->size.width;
        to[row * width + column] = x[row * c->row + column * c->step];
    }
}

/* All outputs of one filter int8 [kernel height][kernel width]; `offset` as in nn_scaled(). */
static inline void nn_plane_filter(const nn_plane_t *p, const int16_t *plane, NN_ROM int8_t *weights, nn_scale_t scale,
                                   int32_t offset, int8_t *output, const nn_channel_t *c)
{
    for (int32_t i = 0; i < (int32_t)c->size.height * c->size.width; i++) {
        int32_t row = i / c->size.width, column = i % c->size.width;
        const int16_t *corner = plane + row * p->stride.height * p->width + column * p->stride.width;
        int32_t sum = 0;
        for (int32_t tap = 0; tap < (int32_t)p->kernel.height * p->kernel.width; tap++) {
            sum += weights[tap] * corner[tap / p->kernel.width * p->width + tap % p->kernel.width];
        }
        output[row * c->row + column * c->step] = nn_scaled(sum, scale, offset);
    }
}

#endif
