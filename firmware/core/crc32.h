/* CRC-32 as in IEEE 802.3, Ethernet and zlib: polynomial 0x04C11DB7 reflected, all ones in, inverted out. */
#ifndef CRC32_H
#define CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Continue `crc` over more bytes; start with 0. crc32(0, "123456789", 9) is 0xCBF43926. */
uint32_t crc32(uint32_t crc, const void *bytes, size_t count);

#endif
