/* Bytes that an interrupt receives while the model runs, and a clock that stands still meanwhile.
 *
 * The interrupt alone puts, the program alone takes: nothing needs a lock. What does not fit is dropped, and the CRC of
 * its frame finds that. */
#ifndef RING_H
#define RING_H

#include <stddef.h>
#include <stdint.h>

#include "credits.h"

#ifndef RING_BYTES /* four windows where they are small, two where there is room, else what a polled line needs */
#define RING_BYTES                                                                                                     \
    (4 * RUN_FRAME_BYTES <= 4096 ? 4 * RUN_FRAME_BYTES : 2 * RUN_FRAME_BYTES <= 8192 ? 2 * RUN_FRAME_BYTES : 256)
#endif

void ring_put(uint8_t byte);

/* At most `capacity` bytes; returns how many there were. */
size_t ring_take(uint8_t *bytes, size_t capacity);

int ring_is_empty(void);

/* An interrupt took so many ticks. */
void ring_spent(uint32_t ticks);

/* A clock without the ticks that interrupts took: an inference takes as long as if the line had been silent. */
uint32_t ring_ticks(uint32_t (*clock)(void));

#endif
