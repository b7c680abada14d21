/* int8 values as unsigned bytes, 128 more. */
#ifndef NN_UNSIGNED_H
#define NN_UNSIGNED_H

#include "nn.h"

static inline uint8_t nn_unsigned(int8_t value)
{
    return (uint8_t)((uint8_t)value ^ 0x80u);
}

/* Returns the sum of the copied bytes. */
static inline int32_t nn_unsigned_copy(uint8_t *bytes, const int8_t *values, int32_t count)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        bytes[i] = nn_unsigned(values[i]);
        sum += bytes[i];
    }
    return sum;
}

#endif
