/* The layout `tiles` for cores with Helium (Cortex-M55): sixteen products an instruction; see the portable nn_tiles.h.
 */
#ifndef NN_TILES_H
#define NN_TILES_H

#include "nn_vector.h"

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
    int8_t *end = to + count;
    for (; count > 0; count -= NN_TILE_DEPTH, to += NN_TILE_DEPTH, x += NN_TILE_DEPTH) {
        mve_pred16_t some = vctp8q((uint32_t)count);
        vstrbq_p_s8(to, vldrbq_z_s8(x, some), some);
    }
    return end;
}

/* x int8 [tiles][16] to `to`. */
static inline void nn_tiles_copy(int8_t *to, const int8_t *x, int32_t tiles)
{
    for (; tiles > 0; tiles--, to += NN_TILE_DEPTH, x += NN_TILE_DEPTH) {
        vstrbq_s8(to, vldrbq_s8(x));
    }
}

static inline int8_t *nn_tiles_fill(int8_t *to, int8_t value, int32_t count)
{
    int8_t *end = to + count;
    for (; count > 0; count -= NN_TILE_DEPTH, to += NN_TILE_DEPTH) {
        vstrbq_p_s8(to, vdupq_n_s8(value), vctp8q((uint32_t)count));
    }
    return end;
}

/* All outputs of x int8 [tiles][16], whose last values may be anything where the weights are filled up. */
__attribute__((noinline, unused)) static void nn_tiles_outputs(const nn_tiles_t *p, const int8_t *x, int8_t *output)
{
    NN_ROM int8_t *weights = p->weights, *shift = p->shift;
    NN_ROM int32_t *bias = p->bias, *multiplier = p->multiplier;
    int32_t offset = p->offset, tiles = p->tiles;
    const int32x4_t low = vdupq_n_s32(p->min), high = vdupq_n_s32(p->max);
    for (int32_t left = p->outputs; left > 0; left -= NN_TILE_ROWS, output += NN_TILE_ROWS) {
        int32_t a = bias[0], b = bias[1], c = bias[2], d = bias[3];
        const int8_t *values = x;
        for (int32_t tile = tiles; tile > 0; tile--, values += NN_TILE_DEPTH, weights += NN_TILE_ROWS * NN_TILE_DEPTH) {
            const int8x16_t value = vldrbq_s8(values);
            a = vmladavaq_s8(a, value, vldrbq_s8(weights));
            b = vmladavaq_s8(b, value, vldrbq_s8(weights + NN_TILE_DEPTH));
            c = vmladavaq_s8(c, value, vldrbq_s8(weights + 2 * NN_TILE_DEPTH));
            d = vmladavaq_s8(d, value, vldrbq_s8(weights + 3 * NN_TILE_DEPTH));
        }
        int32x4_t sums = nn_vector_high(nn_vector_of(a, b, c, d), vldrwq_s32(multiplier));
        sums = vaddq_n_s32(vrshlq_s32(sums, vldrbq_s32(shift)), offset);
        sums = vminq_s32(vmaxq_s32(sums, low), high);
        if (left >= NN_TILE_ROWS) {
            vstrbq_s32(output, sums);
        } else {
            vstrbq_p_s32(output, sums, vctp32q((uint32_t)left));
        }
        bias += NN_TILE_ROWS;
        multiplier += NN_TILE_ROWS;
        shift += NN_TILE_ROWS;
    }
}

#endif
