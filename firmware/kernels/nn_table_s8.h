/* Any function of one int8 value: RELU, LOGISTIC, QUANTIZE and others become a table of all 256 answers. */
#ifndef NN_TABLE_S8_H
#define NN_TABLE_S8_H

#include "nn.h"

typedef struct {
    int32_t count;
    NN_ROM int8_t *table; /* [256]: the answer to -128 first */
} nn_table_t;

/* `output` may be `input`. */
static void nn_table_s8(NN_ROM nn_table_t *p, const int8_t *input, int8_t *output)
{
    for (int32_t i = 0; i < p->count; i++) {
        output[i] = p->table[input[i] + 128];
    }
}

#endif
