/* WHILE: a loop over the rows of an input that begins anew in each inference. */
#ifndef NN_LOOP_S8_H
#define NN_LOOP_S8_H

#include "nn_loop.h"

static void nn_loop_s8(NN_ROM nn_loop_t *p, const void *input, void *output, void *scratch)
{
    int8_t *states = (int8_t *)scratch + p->state_at;
    for (int32_t i = 0; i < p->state; i++) {
        states[i] = p->start[i];
    }
    nn_loop(p, input, output, scratch);
}

#endif
