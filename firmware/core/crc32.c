#include "crc32.h"

#include "nn.h"

/* The CRC of each 4-bit value: 64 bytes instead of the usual 1024, for two steps a byte. */
static NN_ROM uint32_t of_nibble[16] = {
    0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
    0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
};

uint32_t crc32(uint32_t crc, const void *bytes, size_t count)
{
    const uint8_t *byte = bytes;

    crc = ~crc;
    for (size_t i = 0; i < count; i++) {
        crc ^= byte[i];
        crc = of_nibble[crc & 15] ^ (crc >> 4);
        crc = of_nibble[crc & 15] ^ (crc >> 4);
    }
    return ~crc;
}
