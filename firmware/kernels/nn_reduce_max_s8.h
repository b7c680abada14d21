/* REDUCE_MAX over neighbouring axes: input [outer][reduced][inner], output [outer][inner]. */
#ifndef NN_REDUCE_MAX_S8_H
#define NN_REDUCE_MAX_S8_H

#include "nn.h"

typedef struct {
    int16_t outer, reduced, inner;
} nn_reduce_max_t;

static void nn_reduce_max_s8(NN_ROM nn_reduce_max_t *p, const int8_t *input, int8_t *output)
{
    for (int32_t outer = 0; outer < p->outer; outer++) {
        for (int32_t inner = 0; inner < p->inner; inner++) {
            int32_t found = INT8_MIN;
            for (int32_t i = 0; i < p->reduced; i++) {
                found = nn_max(found, input[i * p->inner + inner]);
            }
            *output++ = (int8_t)found;
        }
        input += (int32_t)p->reduced * p->inner;
    }
}

#endif
