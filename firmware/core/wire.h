/* Frames on the line: COBS( payload | CRC-32 of payload, little-endian ) 0x00. */
#ifndef WIRE_H
#define WIRE_H

#include <stddef.h>
#include <stdint.h>

enum { WIRE_CRC_BYTES = 4, WIRE_BLOCK_BYTES = 254 };

typedef enum {
    WIRE_MORE,    /* nothing complete yet */
    WIRE_FRAME,   /* a frame with a good CRC: its payload is bytes[0..count) */
    WIRE_BROKEN,  /* a frame with a bad CRC, too short to have one, or broken COBS */
    WIRE_TOO_LONG /* a frame that did not fit in the buffer, skipped to its end */
} wire_event_t;

/* One direction of a line, decoding. After an event other than WIRE_MORE the next byte begins the next frame. */
typedef struct {
    uint8_t *bytes;   /* the caller's buffer: a payload and its CRC */
    size_t capacity;  /* of the buffer */
    size_t decoded;   /* bytes in the buffer so far */
    size_t count;     /* payload bytes, valid at WIRE_FRAME */
    uint8_t left;     /* bytes to come in this COBS block */
    uint8_t zero_due; /* the block before stands for a zero, if another block follows */
    uint8_t begun;    /* anything but 0x00 was seen */
    uint8_t too_long;
} wire_in_t;

/* One direction of a line, encoding; at most one COBS block is held back. */
typedef struct {
    void (*send)(const uint8_t *bytes, size_t count);
    uint32_t crc;
    uint8_t held;                            /* bytes in the block */
    uint8_t block[1 + WIRE_BLOCK_BYTES + 1]; /* its length, its bytes, and the 0x00 behind the last */
} wire_out_t;

void wire_in_start(wire_in_t *in, uint8_t *bytes, size_t capacity);

/* Decode one byte of the line. */
wire_event_t wire_in_take(wire_in_t *in, uint8_t byte);

/* Begin a frame; its bytes go out through `send`. */
void wire_out_begin(wire_out_t *out, void (*send)(const uint8_t *bytes, size_t count));

/* More payload. */
void wire_out_put(wire_out_t *out, const void *bytes, size_t count);

/* The CRC and the 0x00 that end the frame. */
void wire_out_end(wire_out_t *out);

/* Little-endian numbers in a payload. */
uint16_t wire_u16(const uint8_t *bytes);
uint32_t wire_u32(const uint8_t *bytes);
void wire_out_u8(wire_out_t *out, uint8_t value);
void wire_out_u16(wire_out_t *out, uint16_t value);
void wire_out_u32(wire_out_t *out, uint32_t value);

#endif
