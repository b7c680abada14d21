/* ADD, SUB and MUL of 32-bit integers as they are, with broadcasting; what does not fit wraps. */
#ifndef NN_ARITHMETIC_S32_H
#define NN_ARITHMETIC_S32_H

#include "nn_broadcast.h"

typedef struct {
    nn_broadcast_t broadcast;
    int8_t kind; /* 0 ADD, 1 SUB, 2 MUL */
} nn_arithmetic_t;

/* `output` may be one of the inputs when that one is not broadcast. */
static void nn_arithmetic_s32(NN_ROM nn_arithmetic_t *p, const int32_t *a, const int32_t *b, int32_t *output)
{
    for (int32_t row = 0; row < nn_broadcast_rows(&p->broadcast); row++) {
        nn_row_t at = nn_broadcast_row(&p->broadcast, row);
        for (int32_t i = 0; i < p->broadcast.shape[3]; i++) {
            uint32_t first = (uint32_t)a[at.a], second = (uint32_t)b[at.b];
            *output++ = (int32_t)(p->kind == 2 ? first * second : p->kind ? first - second : first + second);
            at.a += p->broadcast.a[3];
            at.b += p->broadcast.b[3];
        }
    }
}

#endif
