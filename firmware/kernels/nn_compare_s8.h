/* EQUAL, LESS and their like of real numbers: both inputs are brought to one scale. The answers are 0 and 1. */
#ifndef NN_COMPARE_S8_H
#define NN_COMPARE_S8_H

#include "nn_broadcast.h"
#include "nn_finer.h"

typedef struct {
    nn_broadcast_t broadcast;
    uint8_t holds; /* of its bits: 0 when a < b, 1 when a = b, 2 when a > b */
    nn_finer_t a, b;
} nn_compare_t;

/* `output` may be one of the inputs when that one is not broadcast. */
static void nn_compare_s8(NN_ROM nn_compare_t *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    for (int32_t row = 0; row < nn_broadcast_rows(&p->broadcast); row++) {
        nn_row_t at = nn_broadcast_row(&p->broadcast, row);
        for (int32_t i = 0; i < p->broadcast.shape[3]; i++) {
            int32_t first = nn_finer(&p->a, a[at.a], 8), second = nn_finer(&p->b, b[at.b], 8);
            *output++ = (p->holds >> ((first >= second) + (first > second))) & 1;
            at.a += p->broadcast.a[3];
            at.b += p->broadcast.b[3];
        }
    }
}

#endif
