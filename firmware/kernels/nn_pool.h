/* The parameters that max and average pooling share. */
#ifndef NN_POOL_H
#define NN_POOL_H

#include "nn_taps.h"

typedef struct {
    nn_shape_t input, output; /* the same channels */
    nn_size_t kernel, stride, pad;
    int8_t min, max; /* the fused activation */
} nn_pool_t;

#endif
