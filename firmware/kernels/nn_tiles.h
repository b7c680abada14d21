/* The layout `tiles`, which pipeline/ops/tiles.py makes, for cores with vectors of sixteen bytes: a tile has sixteen
 * weights of each of four outputs, filled up with zeros. */
#ifndef NN_TILES_H
#define NN_TILES_H

#include "nn_output.h"

enum { NN_TILE_ROWS = 4, NN_TILE_DEPTH = 16 };

/* The sums of a layer, as its own parameters have them. */
typedef struct {
    int32_t tiles, outputs, offset, min, max;
    NN_ROM int8_t *weights;
    NN_ROM int32_t *bias, *multiplier;
    NN_ROM int8_t *shift;
} nn_tiles_t;

/* `count` values to `to`; returns its end. */
static inline int8_t *nn_tiles_put(int8_t *to, const int8_t *x, int32_t count)
{
    for (; count > 0; count--) {
        *to++ = *x++;
    }
    return to;
}

/* x int8 [tiles][16] to `to`. */
static inline void nn_tiles_copy(int8_t *to, const int8_t *x, int32_t tiles)
{
    nn_tiles_put(to, x, tiles * NN_TILE_DEPTH);
}

static inline int8_t *nn_tiles_fill(int8_t *to, int8_t value, int32_t count)
{
    for (; count > 0; count--) {
        *to++ = value;
    }
    return to;
}

/* All outputs of x int8 [tiles][16], whose last values may be anything where the weights are filled up. */
static void nn_tiles_outputs(const nn_tiles_t *p, const int8_t *x, int8_t *output)
{
    const nn_output_t to = {(int16_t)p->offset, (int8_t)p->min, (int8_t)p->max};
    NN_ROM int8_t *weights = p->weights;
    for (int32_t i = 0; i < p->outputs; i += NN_TILE_ROWS) {
        int32_t sums[NN_TILE_ROWS] = {p->bias[i], p->bias[i + 1], p->bias[i + 2], p->bias[i + 3]};
        for (int32_t tile = 0; tile < p->tiles; tile++) {
            for (int32_t k = 0; k < NN_TILE_ROWS * NN_TILE_DEPTH; k++) {
                sums[k / NN_TILE_DEPTH] += *weights++ * x[tile * NN_TILE_DEPTH + k % NN_TILE_DEPTH];
            }
        }
        for (int32_t row = 0; row < NN_TILE_ROWS && i + row < p->outputs; row++) {
            output[i + row] = nn_output(to, sums[row], p->multiplier[i + row], p->shift[i + row]);
        }
    }
}

#endif
