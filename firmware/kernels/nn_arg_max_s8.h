/* ARG_MAX and ARG_MIN: where along an axis the largest or the least value is, the first of equals. */
#ifndef NN_ARG_MAX_S8_H
#define NN_ARG_MAX_S8_H

#include "nn.h"

typedef struct {
    int32_t outer, length, inner; /* the input is [outer][length][inner], the output [outer][inner] */
    int8_t turned;                /* 0: the largest; -1: the least, which is the largest when all bits are turned */
} nn_arg_max_t;

static void nn_arg_max_s8(NN_ROM nn_arg_max_t *p, const int8_t *input, int32_t *output)
{
    for (int32_t outer = 0; outer < p->outer; outer++) {
        for (int32_t j = 0; j < p->inner; j++) {
            int32_t best = 0;
            for (int32_t i = 1; i < p->length; i++) {
                if ((input[i * p->inner + j] ^ p->turned) > (input[best * p->inner + j] ^ p->turned)) {
                    best = i;
                }
            }
            *output++ = best;
        }
        input += p->length * p->inner;
    }
}

#endif
