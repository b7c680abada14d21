/* ESP32 without ESP-IDF: watchdogs off, the crystal as clock, UART0 polled. Register addresses from Espressif's ESP32
   Technical Reference Manual. */
#include "port.h"

#include "divider.h"

#ifndef REGISTER /* a test has its own */
#define REGISTER(address) (*(volatile uint32_t *)(address))
#endif

#define RTC_RESET_STATE REGISTER(0x3FF48034)
#define RTC_CLOCK REGISTER(0x3FF48070)
#define RTC_WATCHDOG REGISTER(0x3FF4808C)
#define RTC_WATCHDOG_UNLOCK REGISTER(0x3FF480A4)
#define TIMER0_WATCHDOG REGISTER(0x3FF5F048)
#define TIMER0_WATCHDOG_UNLOCK REGISTER(0x3FF5F064)
#define TIMER1_WATCHDOG REGISTER(0x3FF60048)
#define TIMER1_WATCHDOG_UNLOCK REGISTER(0x3FF60064)
#define UART0_FIFO REGISTER(0x3FF40000)
#define UART0_CLOCK_DIVIDER REGISTER(0x3FF40014) /* sixteenths in bits 23:20 */
#define UART0_STATUS REGISTER(0x3FF4001C)
#define UART0_FIFO_WRITE REGISTER(0x60000000) /* the same: errata, writes by the other way may get lost */

enum { CLOCK_SOURCE_SHIFT = 27 /* 2 bits of RTC_CLOCK; 0: the crystal */ };
enum { TRANSMIT_COUNT_SHIFT = 16, TRANSMIT_STATE_SHIFT = 24 /* in UART0_STATUS; the receive count is at 0 */ };
enum { FIFO_BYTES = 128, TRANSMIT_ROOM = FIFO_BYTES - 2 };
enum { BAUD = 115200, LEAST_SIXTEENTHS = 2 << 4, MOST_SIXTEENTHS = 0xFFFFF << 4 };
enum { CREDITS = 1 /* receive is polled: while the model runs only the FIFO takes bytes */ };

#define WATCHDOG_KEY 0x50D83AA1u

static void stop_watchdogs(void)
{
    RTC_WATCHDOG_UNLOCK = WATCHDOG_KEY;
    RTC_WATCHDOG = 0;
    TIMER0_WATCHDOG_UNLOCK = WATCHDOG_KEY;
    TIMER0_WATCHDOG = 0;
    TIMER1_WATCHDOG_UNLOCK = WATCHDOG_KEY;
    TIMER1_WATCHDOG = 0;
}

static uint32_t bytes_to_send(void)
{
    return UART0_STATUS >> TRANSMIT_COUNT_SHIFT & 0xFF;
}

static uint32_t still_sending(void)
{
    return bytes_to_send() != 0 || (UART0_STATUS >> TRANSMIT_STATE_SHIFT & 15) != 0;
}

static uint32_t bytes_received(void)
{
    return UART0_STATUS & 0xFF;
}

/* The crystal drives processor and UART, so both follow from one fact of the board. */
static uint32_t divider(uint32_t baud)
{
    return divider_of(16u * BOARD_CLOCK_HZ, baud == 0 ? BAUD : baud, LEAST_SIXTEENTHS, MOST_SIXTEENTHS);
}

int port_takes_baud(uint32_t baud)
{
    return divider(baud) != 0;
}

void port_set_baud(uint32_t baud)
{
    while (still_sending()) {
    }
    UART0_CLOCK_DIVIDER = divider(baud) >> 4 | (divider(baud) & 15) << 20;
}

void port_start(void)
{
    stop_watchdogs();
    while (still_sending()) {
        /* the ROM's own words, at its own rate */
    }
    RTC_CLOCK &= ~(3u << CLOCK_SOURCE_SHIFT); /* whatever ran before us */
    port_set_baud(0);
}

static uint8_t reset_cause(void)
{
    switch (RTC_RESET_STATE & 0x3F) {
    case 1: /* power, or the EN pin */
        return PORT_RESET_POWER_ON;
    case 3:
    case 12:
        return PORT_RESET_SOFTWARE;
    case 4:
    case 7:
    case 8:
    case 9:
    case 11:
    case 13:
    case 16:
        return PORT_RESET_WATCHDOG;
    default:
        return PORT_RESET_UNKNOWN;
    }
}

port_facts_t port_facts(void)
{
    const port_facts_t facts = {
        .clock_kind = PORT_CLOCK_CYCLES,
        .clock_hz = BOARD_CLOCK_HZ,
        .reset_cause = reset_cause(),
        .credits = CREDITS,
    };

    return facts;
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
        UART0_FIFO_WRITE = bytes[i];
    }
}
