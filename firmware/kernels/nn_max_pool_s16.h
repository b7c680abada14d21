/* MAX_POOL_2D of 16-bit values. */
#ifndef NN_MAX_POOL_S16_H
#define NN_MAX_POOL_S16_H

#include "nn_pool.h"

static void nn_max_pool_s16(NN_ROM nn_pool_t *p, const int16_t *input, int16_t *output)
{
    nn_pool(p, input, output, (nn_pool_kind_t){.width = 2, .mean = 0});
}

#endif
