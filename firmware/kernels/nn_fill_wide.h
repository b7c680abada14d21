/* Every value of the output is the same one of 16 or 32 bits. */
#ifndef NN_FILL_WIDE_H
#define NN_FILL_WIDE_H

#include "nn_wide.h"

typedef struct {
    int32_t count;
    int8_t width; /* bytes of a value: 2, 4 */
    int32_t value;
} nn_fill_wide_t;

static void nn_fill_wide(NN_ROM nn_fill_wide_t *p, void *output)
{
    for (int32_t i = 0; i < p->count; i++) {
        nn_put(output, i, p->width, p->value);
    }
}

#endif
