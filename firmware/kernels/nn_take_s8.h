/* Slices picked along one axis by a list: GATHER, RESIZE_NEAREST_NEIGHBOR, MIRROR_PAD, REVERSE_V2. */
#ifndef NN_TAKE_S8_H
#define NN_TAKE_S8_H

#include "nn.h"

typedef struct {
    int16_t outer, length;
    int32_t inner;         /* the input is [outer][length][inner] bytes */
    int32_t count;         /* the output is [outer][count][inner] */
    NN_ROM int16_t *index; /* [count], each in [0, length) */
} nn_take_t;

static void nn_take_s8(NN_ROM nn_take_t *p, const void *input, void *output)
{
    const int8_t *from = input;
    int8_t *to = output;

    for (int32_t outer = 0; outer < p->outer; outer++) {
        for (int32_t i = 0; i < p->count; i++) {
            const int8_t *slice = from + p->index[i] * p->inner;
            for (int32_t j = 0; j < p->inner; j++) {
                *to++ = slice[j];
            }
        }
        from += p->length * p->inner;
    }
}

#endif
