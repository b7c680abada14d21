/* EQUAL, LESS and their like of integers as they are. The answers are 0 and 1. */
#ifndef NN_COMPARE_WIDE_H
#define NN_COMPARE_WIDE_H

#include "nn_broadcast.h"
#include "nn_wide.h"

typedef struct {
    nn_broadcast_t broadcast;
    uint8_t holds; /* of its bits: 0 when a < b, 1 when a = b, 2 when a > b */
    int8_t width;  /* bytes of a value */
} nn_compare_wide_t;

static void nn_compare_wide(NN_ROM nn_compare_wide_t *p, const void *a, const void *b, int8_t *output)
{
    for (int32_t row = 0; row < nn_broadcast_rows(&p->broadcast); row++) {
        nn_row_t at = nn_broadcast_row(&p->broadcast, row);
        for (int32_t i = 0; i < p->broadcast.shape[3]; i++) {
            int32_t first = nn_get(a, at.a, p->width), second = nn_get(b, at.b, p->width);
            *output++ = (p->holds >> ((first >= second) + (first > second))) & 1;
            at.a += p->broadcast.a[3];
            at.b += p->broadcast.b[3];
        }
    }
}

#endif
