/* Which taps of a sliding window lie inside the input. */
#ifndef NN_TAPS_H
#define NN_TAPS_H

#include "nn.h"

typedef struct {
    int32_t first, last; /* taps first .. last - 1; none when last <= first */
} nn_taps_t;

/* The taps, out of `size` that lie `dilation` apart, which fall into [0, length) when tap 0 falls on `origin`. */
static inline nn_taps_t nn_taps_inside(int32_t origin, int32_t length, int32_t size, int32_t dilation)
{
    int32_t first = origin < 0 ? -origin : 0, last = origin < length ? length - origin : 0;
    if (dilation > 1) { /* a division costs more than all the rest */
        first = (first + dilation - 1) / dilation;
        last = (last + dilation - 1) / dilation;
    }
    last = nn_min(size, last);
    return (nn_taps_t){first, last};
}

#endif
