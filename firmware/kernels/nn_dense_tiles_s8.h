/* FULLY_CONNECTED with weights in tiles. */
#ifndef NN_DENSE_TILES_S8_H
#define NN_DENSE_TILES_S8_H

#include "nn_tiles.h"

typedef struct {
    int16_t rows, inputs;       /* vectors in the input, 1 as a rule; values of one */
    int16_t tiles, outputs;     /* of one output; values of a vector */
    int16_t output_offset;      /* [-128, 127] */
    int8_t min, max;            /* the fused activation */
    NN_ROM int8_t *weights;     /* [outputs / 4][tiles][4][16] */
    NN_ROM int32_t *bias;       /* [outputs / 4][4]; input_offset times all weights of the output is in it */
    NN_ROM int32_t *multiplier; /* [outputs / 4][4], [0, 2^31) */
    NN_ROM int8_t *shift;       /* [outputs / 4][4], [-31, -1] */
} nn_dense_tiles_t;

/* scratch: a row, [tiles][16] */
static void nn_dense_tiles_s8(NN_ROM nn_dense_tiles_t *p, const int8_t *input, int8_t *output, void *scratch)
{
    const nn_tiles_t sums = {p->tiles,   p->outputs, p->output_offset, p->min,  p->max,
                             p->weights, p->bias,    p->multiplier,    p->shift};
    for (int32_t row = 0; row < p->rows; row++, input += p->inputs, output += p->outputs) {
        nn_tiles_put(scratch, input, p->inputs);
        nn_tiles_outputs(&sums, p->inputs % NN_TILE_DEPTH == 0 ? input : scratch, output);
    }
}

#endif
