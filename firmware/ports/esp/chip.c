/* ESP32-C3 and ESP32-S3 without ESP-IDF. */
#include "chip.h"

#include "port.h"

#define WATCHDOG_KEY 0x50D83AA1u
#define SUPER_WATCHDOG_KEY 0x8F1D312Au
#define FEEDS_ITSELF (1u << 31)

#define PLL_POWER_DOWN (1u << 6 | 1u << 8 | 1u << 10) /* in RTC_OPTIONS */
#define PLL_480_MHZ (1u << 2)                         /* in PROCESSOR_CLOCK; bits 1:0 choose 80 or 160 MHz of it */
#define SOURCE_PLL (1u << 10)                         /* in SYSTEM_CLOCK; the crystal's divider, less 1, in bits 9:0 */

enum { CRYSTAL_HZ = 40000000 };
_Static_assert(BOARD_CLOCK_HZ == CRYSTAL_HZ || BOARD_CLOCK_HZ == 80000000 || BOARD_CLOCK_HZ == 160000000,
               "clock_hz of the board: 40, 80 or 160 MHz");

static void stop_watchdogs(void)
{
    RTC_WATCHDOG_UNLOCK = WATCHDOG_KEY;
    RTC_WATCHDOG = 0;
    SUPER_WATCHDOG_UNLOCK = SUPER_WATCHDOG_KEY;
    SUPER_WATCHDOG |= FEEDS_ITSELF;
    TIMER0_WATCHDOG_UNLOCK = WATCHDOG_KEY;
    TIMER0_WATCHDOG = 0;
    TIMER1_WATCHDOG_UNLOCK = WATCHDOG_KEY;
    TIMER1_WATCHDOG = 0;
}

/* The ROM runs the processor from the crystal and leaves the PLL on, for the USB port lives of it. Where something has
   switched it off, the crystal stays, and port_facts() says so. */
static void set_clock(void)
{
    if (BOARD_CLOCK_HZ == CRYSTAL_HZ || (RTC_OPTIONS & PLL_POWER_DOWN) != 0) {
        SYSTEM_CLOCK = 0;
        return;
    }
    PROCESSOR_CLOCK = (PROCESSOR_CLOCK & ~3u) | PLL_480_MHZ | (BOARD_CLOCK_HZ == 160000000);
    SYSTEM_CLOCK = SOURCE_PLL;
}

void chip_start(void)
{
    stop_watchdogs();
    serial_start();
    set_clock();
}

static uint8_t reset_cause(void)
{
    switch (RTC_RESET_STATE & 0x3F) {
    case 0x01: /* power, or the EN pin */
        return PORT_RESET_POWER_ON;
    case 0x03:
    case 0x0C:
        return PORT_RESET_SOFTWARE;
    case 0x15: /* the host moved DTR and RTS of the USB port */
        return PORT_RESET_PIN;
    case 0x07:
    case 0x08:
    case 0x09:
    case 0x0B:
    case 0x0D:
    case 0x10:
    case 0x11:
    case 0x12:
        return PORT_RESET_WATCHDOG;
    default:
        return PORT_RESET_UNKNOWN;
    }
}

port_facts_t port_facts(void)
{
    const port_facts_t facts = {
        .clock_kind = PORT_CLOCK_CYCLES,
        .clock_hz = (SYSTEM_CLOCK & SOURCE_PLL) != 0 ? BOARD_CLOCK_HZ : CRYSTAL_HZ,
        .reset_cause = reset_cause(),
        .credits = SERIAL_CREDITS,
    };

    return facts;
}
