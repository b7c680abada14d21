/* Streaming: the rows that came before, and behind them those of this inference; the last ones are kept for the next.
 */
#ifndef NN_KEEP_S8_H
#define NN_KEEP_S8_H

#include "nn.h"

typedef struct {
    int32_t kept;  /* bytes from before: the output begins with them */
    int32_t count; /* bytes of the input */
} nn_keep_t;

/* `state` is int8_t kept[kept]. */
static void nn_keep_s8(NN_ROM nn_keep_t *p, const void *input, void *output, void *state)
{
    const int8_t *restrict from = (const int8_t *)input;
    int8_t *restrict to = (int8_t *)output, *restrict kept = (int8_t *)state;

    for (int32_t i = 0; i < p->kept; i++) {
        to[i] = kept[i];
    }
    for (int32_t i = 0; i < p->count; i++) {
        to[p->kept + i] = from[i];
    }
    for (int32_t i = 0; i < p->kept; i++) {
        kept[i] = to[p->count + i];
    }
}

#endif
