/* How many windows may be under way. */
#ifndef CREDITS_H
#define CREDITS_H

#include <stdint.h>

#include "model.h"
#include "wire.h"

enum {
    RUN_PAYLOAD_BYTES = 1 + 2 + MODEL_INPUT_BYTES + WIRE_CRC_BYTES, /* type, seq, window, CRC-32 */
    RUN_FRAME_BYTES = 1 + 1 + RUN_PAYLOAD_BYTES + RUN_PAYLOAD_BYTES / WIRE_BLOCK_BYTES + 1 /* a 0x00 on either side */
};

/* RUN frames that a buffer of so many bytes, filled while the model runs, takes without a byte lost; at least 1. */
static inline uint8_t credits_of(uint32_t buffer_bytes)
{
    const uint32_t frames = buffer_bytes / RUN_FRAME_BYTES;

    return (uint8_t)(frames < 1 ? 1 : frames < UINT8_MAX ? frames : UINT8_MAX);
}

#endif
