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
    const int8_t *end = values + count;
#ifndef __AVR__ /* where an index takes as long */
    for (; end - values >= 4; values += 4, bytes += 4) {
        uint8_t a = nn_unsigned(values[0]), b = nn_unsigned(values[1]);
        uint8_t c = nn_unsigned(values[2]), d = nn_unsigned(values[3]);
        bytes[0] = a;
        bytes[1] = b;
        bytes[2] = c;
        bytes[3] = d;
        sum += a + b + c + d;
    }
#endif
    while (values != end) {
        uint8_t value = nn_unsigned(*values++);
        *bytes++ = value;
        sum += value;
    }
    return sum;
}

#endif
