/* MAXIMUM and MINIMUM of values of 16 or 32 bits, with broadcasting: inputs and output share one quantization. */
#ifndef NN_MAXIMUM_WIDE_H
#define NN_MAXIMUM_WIDE_H

#include "nn_broadcast.h"
#include "nn_wide.h"

typedef struct {
    nn_broadcast_t broadcast;
    int8_t width;  /* bytes of a value */
    int8_t turned; /* 0: the largest; -1: the least, which is the largest when all bits are turned */
} nn_maximum_wide_t;

/* `output` may be one of the inputs when that one is not broadcast. */
static void nn_maximum_wide(NN_ROM nn_maximum_wide_t *p, const void *a, const void *b, void *output)
{
    int32_t made = 0;

    for (int32_t row = 0; row < nn_broadcast_rows(&p->broadcast); row++) {
        nn_row_t at = nn_broadcast_row(&p->broadcast, row);
        for (int32_t i = 0; i < p->broadcast.shape[3]; i++) {
            int32_t first = nn_get(a, at.a, p->width), second = nn_get(b, at.b, p->width);
            nn_put(output, made++, p->width, nn_max(first ^ p->turned, second ^ p->turned) ^ p->turned);
            at.a += p->broadcast.a[3];
            at.b += p->broadcast.b[3];
        }
    }
}

#endif
