/* What all kernels share: the version of their interface, memory kinds, and shapes. */
#ifndef NN_H
#define NN_H

#include <stdint.h>

/* Goes up when a parameter struct or a meaning changes; generated models refuse another one. */
#define NN_VERSION 1

/* Constants stay in read-only memory. AVR loads them from flash by other instructions, so there the type says it. */
#ifdef __AVR__
#define NN_ROM const __flash
#else
#define NN_ROM const
#endif

/* Where weights lie: a board's file may say so. */
#ifndef NN_WEIGHTS
#define NN_WEIGHTS /* as usual */
#endif

typedef struct {
    int16_t height, width, channels;
} nn_shape_t;

typedef struct {
    int16_t height, width;
} nn_size_t;

static inline int32_t nn_max(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static inline int32_t nn_min(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static inline int8_t nn_clamp_s8(int32_t value, int32_t low, int32_t high)
{
    return (int8_t)nn_min(nn_max(value, low), high);
}

#endif
