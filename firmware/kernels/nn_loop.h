/* A loop over the rows of an input: a cell's step, a model of its own, makes states and a result of a row and states.
 */
#ifndef NN_LOOP_H
#define NN_LOOP_H

#include "nn.h"

typedef struct {
    int32_t count;        /* rows */
    int32_t row;          /* bytes of a row, */
    int32_t state;        /* of all states, */
    int32_t made;         /* of a step's result */
    int32_t every;        /* 1: all results are wanted, 0: the last alone */
    int32_t state_at;     /* in scratch: the states, behind the row, with which the step's input begins, */
    int32_t answer_at;    /* the step's output, which begins with the new states, */
    int32_t made_at;      /* the result in it, */
    int32_t arena_at;     /* the step's arena */
    NN_ROM int8_t *start; /* [state], null where a loop goes on from before */
    void (*step)(const int8_t *input, int8_t *output, uint8_t *arena);
} nn_loop_t;

static inline void nn_loop_copy(int8_t *restrict to, const int8_t *restrict from, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        to[i] = from[i];
    }
}

/* The states lie in scratch, before and behind. */
static inline void nn_loop(NN_ROM nn_loop_t *p, const int8_t *input, int8_t *output, int8_t *scratch)
{
    for (int32_t i = 0; i < p->count; i++) {
        nn_loop_copy(scratch, input + i * p->row, p->row);
        p->step(scratch, scratch + p->answer_at, (uint8_t *)scratch + p->arena_at);
        nn_loop_copy(scratch + p->state_at, scratch + p->answer_at, p->state);
        if (p->every || i == p->count - 1) {
            nn_loop_copy(output, scratch + p->made_at, p->made);
            output += p->made;
        }
    }
}

#endif
