/* Values of 8, 16 or 32 bits, for kernels that are not in a hurry and take any of them. */
#ifndef NN_WIDE_H
#define NN_WIDE_H

#include "nn.h"

/* Value `i` of an array whose values have `width` bytes: 1, 2, 4. */
static inline int32_t nn_get(const void *array, int32_t i, int8_t width)
{
    if (width == 1) {
        return ((const int8_t *)array)[i];
    }
    return width == 2 ? ((const int16_t *)array)[i] : ((const int32_t *)array)[i];
}

/* The low bytes of `value`. */
static inline void nn_put(void *array, int32_t i, int8_t width, int32_t value)
{
    if (width == 1) {
        ((int8_t *)array)[i] = (int8_t)value;
    } else if (width == 2) {
        ((int16_t *)array)[i] = (int16_t)value;
    } else {
        ((int32_t *)array)[i] = value;
    }
}

#endif
