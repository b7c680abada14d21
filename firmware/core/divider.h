/* Dividers of serial lines. */
#ifndef DIVIDER_H
#define DIVIDER_H

#include <stdint.h>

enum { DIVIDER_TOLERANCE = 50 /* one part in so many: both ends of a line together may be off by 4 % */ };

/* The divider of `hz` that comes nearest to `baud`; 0 where that is more than 2 % away, or the divider below `least` or
   above `most`. A divider with a fraction is counted in its parts: `hz` is then the clock times the parts in one. */
static inline uint32_t divider_of(uint32_t hz, uint32_t baud, uint32_t least, uint32_t most)
{
    const uint32_t divider = (hz + baud / 2) / baud, made = divider * baud;
    const uint32_t away = made > hz ? made - hz : hz - made;

    return divider < least || divider > most || away > made / DIVIDER_TOLERANCE ? 0 : divider;
}

#endif
