/* UART0 of the ESP32-C3 and the ESP32-S3, polled. Registers from Espressif's Technical Reference Manuals. */
#include "serial.h"

#ifndef BOARD_SERIAL_USB

#include "divider.h"
#include "port.h"

#define UART0_FIFO REGISTER(0x60000000)
#define UART0_CLOCK_DIVIDER REGISTER(0x60000014) /* sixteenths in bits 23:20 */
#define UART0_STATUS REGISTER(0x6000001C)        /* bytes received in bits 9:0, bytes to send in bits 25:16 */
#define UART0_STATE REGISTER(0x6000006C)         /* of the transmitter in bits 7:4, 0 when it rests */
#define UART0_CLOCK REGISTER(0x60000078)
#define UART0_UPDATE REGISTER(0x60000080) /* bit 31 takes new settings over, and is clear when they are in force */

#define CLOCK_CRYSTAL (3u << 20)
#define CLOCK_ENABLE (1u << 22 | 1u << 24 | 1u << 25) /* of the whole, of the transmitter, of the receiver */
#define UPDATE (1u << 31)

enum { CRYSTAL_HZ = 40000000, BAUD = 115200 };
enum { LEAST_SIXTEENTHS = 2 << 4, MOST_SIXTEENTHS = 0xFFF << 4 };
enum { FIFO_BYTES = 128, TRANSMIT_ROOM = FIFO_BYTES - 2, COUNT_BITS = 0x3FF };
enum { UPDATE_PATIENCE = 10000 };

static uint32_t bytes_to_send(void)
{
    return UART0_STATUS >> 16 & COUNT_BITS;
}

static uint32_t bytes_received(void)
{
    return UART0_STATUS & COUNT_BITS;
}

static uint32_t divider(uint32_t baud)
{
    return divider_of(16u * CRYSTAL_HZ, baud == 0 ? BAUD : baud, LEAST_SIXTEENTHS, MOST_SIXTEENTHS);
}

int port_takes_baud(uint32_t baud)
{
    return divider(baud) != 0;
}

/* The crystal drives the line, so that its rate does not follow the processor's clock. */
void port_set_baud(uint32_t baud)
{
    while (bytes_to_send() != 0 || (UART0_STATE >> 4 & 15) != 0) {
    }
    UART0_CLOCK = CLOCK_CRYSTAL | CLOCK_ENABLE;
    UART0_CLOCK_DIVIDER = divider(baud) >> 4 | (divider(baud) & 15) << 20;
    UART0_UPDATE |= UPDATE;
    for (int i = 0; i < UPDATE_PATIENCE && (UART0_UPDATE & UPDATE) != 0; i++) {
    }
}

void serial_start(void)
{
    port_set_baud(0); /* when the ROM's own words are out */
}

size_t port_read(uint8_t *bytes, size_t capacity)
{
    size_t count = 0;

    while (bytes_received() == 0) {
    }
    while (count < capacity && bytes_received() > 0) {
        bytes[count] = (uint8_t)UART0_FIFO;
        count++;
    }
    return count;
}

void port_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while (bytes_to_send() >= TRANSMIT_ROOM) {
        }
        UART0_FIFO = bytes[i];
    }
}

#endif
