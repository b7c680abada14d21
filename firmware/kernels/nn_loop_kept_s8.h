/* Streaming: a loop over the rows of a hop, whose states go on from one inference to the next. */
#ifndef NN_LOOP_KEPT_S8_H
#define NN_LOOP_KEPT_S8_H

#include "nn_loop.h"

static void nn_loop_kept_s8(NN_ROM nn_loop_t *p, const void *input, void *output, void *scratch, void *state)
{
    int8_t *states = (int8_t *)scratch + p->state_at;
    nn_loop_copy(states, state, p->state);
    nn_loop(p, input, output, scratch);
    nn_loop_copy(state, states, p->state);
}

#endif
