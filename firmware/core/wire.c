#include "wire.h"

#include "crc32.h"

static void begin_frame(wire_in_t *in)
{
    in->decoded = 0;
    in->left = 0;
    in->zero_due = 0;
    in->begun = 0;
    in->too_long = 0;
}

void wire_in_start(wire_in_t *in, uint8_t *bytes, size_t capacity)
{
    in->bytes = bytes;
    in->capacity = capacity;
    in->count = 0;
    begin_frame(in);
}

static void decode(wire_in_t *in, uint8_t byte)
{
    if (in->decoded < in->capacity) {
        in->bytes[in->decoded++] = byte;
    } else {
        in->too_long = 1;
    }
}

/* What the frame is, now that its 0x00 has come. */
static wire_event_t judge(wire_in_t *in)
{
    if (!in->begun) {
        return WIRE_MORE;
    }
    if (in->too_long) {
        return WIRE_TOO_LONG;
    }
    if (in->left != 0 || in->decoded < WIRE_CRC_BYTES) {
        return WIRE_BROKEN;
    }
    in->count = in->decoded - WIRE_CRC_BYTES;
    return crc32(0, in->bytes, in->count) == wire_u32(in->bytes + in->count) ? WIRE_FRAME : WIRE_BROKEN;
}

wire_event_t wire_in_take(wire_in_t *in, uint8_t byte)
{
    if (byte == 0) {
        wire_event_t event = judge(in);

        begin_frame(in);
        return event;
    }
    in->begun = 1;
    if (in->left > 0) {
        decode(in, byte);
        in->left--;
    } else {
        if (in->zero_due) {
            decode(in, 0);
        }
        in->left = (uint8_t)(byte - 1);
        in->zero_due = byte != WIRE_BLOCK_BYTES + 1;
    }
    return WIRE_MORE;
}

static void send_block(wire_out_t *out)
{
    out->block[0] = (uint8_t)(out->held + 1);
    out->send(out->block, (size_t)out->held + 1);
    out->held = 0;
}

static void encode(wire_out_t *out, uint8_t byte)
{
    if (out->held == WIRE_BLOCK_BYTES) {
        send_block(out);
    }
    if (byte == 0) {
        send_block(out);
    } else {
        out->held++;
        out->block[out->held] = byte;
    }
}

void wire_out_begin(wire_out_t *out, void (*send)(const uint8_t *bytes, size_t count))
{
    out->send = send;
    out->crc = 0;
    out->held = 0;
}

void wire_out_put(wire_out_t *out, const void *bytes, size_t count)
{
    const uint8_t *byte = bytes;

    out->crc = crc32(out->crc, bytes, count);
    for (size_t i = 0; i < count; i++) {
        encode(out, byte[i]);
    }
}

void wire_out_end(wire_out_t *out)
{
    wire_out_u32(out, out->crc);
    out->block[out->held + 1] = 0;
    out->block[0] = (uint8_t)(out->held + 1);
    out->send(out->block, (size_t)out->held + 2);
    out->held = 0;
}

uint16_t wire_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | (uint16_t)bytes[1] << 8);
}

uint32_t wire_u32(const uint8_t *bytes)
{
    return wire_u16(bytes) | (uint32_t)wire_u16(bytes + 2) << 16;
}

void wire_out_u8(wire_out_t *out, uint8_t value)
{
    wire_out_put(out, &value, 1);
}

void wire_out_u16(wire_out_t *out, uint16_t value)
{
    const uint8_t bytes[2] = {(uint8_t)(value & 0xFF), (uint8_t)(value >> 8)};

    wire_out_put(out, bytes, sizeof bytes);
}

void wire_out_u32(wire_out_t *out, uint32_t value)
{
    wire_out_u16(out, (uint16_t)(value & 0xFFFF));
    wire_out_u16(out, (uint16_t)(value >> 16));
}
