/* Which input value a tap of a TRANSPOSE_CONV brings to a place of its output. */
#ifndef NN_SOURCE_H
#define NN_SOURCE_H

#include "nn.h"

/* The input index that tap `tap` brings to output place `place`, or -1 when it brings none. */
static inline int32_t nn_source(int32_t place, int32_t tap, int32_t stride, int32_t length)
{
    int32_t spread = place - tap;
    if (spread < 0 || spread % stride != 0 || spread / stride >= length) {
        return -1;
    }
    return spread / stride;
}

#endif
