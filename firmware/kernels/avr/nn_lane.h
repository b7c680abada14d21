/* nn_lane.h for AVR: 16-bit arithmetic. */
#ifndef NN_LANE_H
#define NN_LANE_H

#include "nn_unsigned.h"

/* Where the next value belongs, and what those before it come to. */
typedef struct {
    uint8_t *next;
    int32_t sum;
    uint8_t step; /* bytes from one value to the next: how many lanes there are */
} nn_lane_t;

static inline nn_lane_t nn_lane_copy(nn_lane_t lane, const int8_t *values, int32_t count)
{
    uint8_t *next = lane.next;
    uint32_t sum = 0;
    for (const int8_t *end = values + (uint16_t)count; values != end; values++) {
        const uint8_t value = nn_unsigned(*values);
        *next = value;
        next += lane.step;
        sum += value;
    }
    return (nn_lane_t){next, lane.sum + (int32_t)sum, lane.step};
}

static inline nn_lane_t nn_lane_fill(nn_lane_t lane, uint8_t value, int32_t count)
{
    uint8_t *next = lane.next;
    for (uint16_t left = (uint16_t)count; left > 0; left--) {
        *next = value;
        next += lane.step;
    }
    return (nn_lane_t){next, lane.sum + count * value, lane.step};
}

#endif
