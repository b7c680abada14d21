/* One lane of a patch: values as unsigned bytes, x + 128, in every so many bytes. */
#ifndef NN_LANE_H
#define NN_LANE_H

#include "nn_unsigned.h"

/* Where the next value of a lane belongs, and what those before it come to. */
typedef struct {
    uint8_t *next;
    int32_t sum, step; /* bytes from one value to the next: how many lanes there are */
} nn_lane_t;

static inline void nn_lane_put(nn_lane_t *lane, int32_t at, uint8_t value)
{
    lane->next[at * lane->step] = value;
    lane->sum += value;
}

static inline nn_lane_t nn_lane_copy(nn_lane_t lane, const int8_t *values, int32_t count)
{
    for (; count >= 4; count -= 4) {
        nn_lane_put(&lane, 0, nn_unsigned(values[0]));
        nn_lane_put(&lane, 1, nn_unsigned(values[1]));
        nn_lane_put(&lane, 2, nn_unsigned(values[2]));
        nn_lane_put(&lane, 3, nn_unsigned(values[3]));
        lane.next += 4 * lane.step;
        values += 4;
    }
    for (; count > 0; count--) {
        nn_lane_put(&lane, 0, nn_unsigned(*values++));
        lane.next += lane.step;
    }
    return lane;
}

static inline nn_lane_t nn_lane_fill(nn_lane_t lane, uint8_t value, int32_t count)
{
    for (; count > 0; count--) {
        nn_lane_put(&lane, 0, value);
        lane.next += lane.step;
    }
    return lane;
}

#endif
