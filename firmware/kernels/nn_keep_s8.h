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
static void nn_keep_s8(NN_ROM nn_keep_t *p, const int8_t *restrict input, int8_t *restrict output, void *state)
{
    int8_t *restrict kept = (int8_t *)state;
    for (int32_t i = 0; i < p->kept; i++) {
        output[i] = kept[i];
    }
    for (int32_t i = 0; i < p->count; i++) {
        output[p->kept + i] = input[i];
    }
    for (int32_t i = 0; i < p->kept; i++) {
        kept[i] = output[p->count + i];
    }
}

#endif
