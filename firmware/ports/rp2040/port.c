/* RP2040 (Raspberry Pi Pico) without an SDK: the crystal and the PLL as clock, UART0 on GP0 and GP1, SysTick as cycle
   counter. Registers from Raspberry Pi's RP2040 datasheet. */
#include "port.h"

#include "../ring/ring.h"
#include "divider.h"

#ifndef REGISTER /* a test has its own */
#define REGISTER(address) (*(volatile uint32_t *)(address))
#endif
#define SET(address) REGISTER((address) + 0x2000) /* ones written here set bits, and the same clear them at +0x3000 */
#define CLEAR(address) REGISTER((address) + 0x3000)

#define CLOCK_REFERENCE 0x40008030
#define CLOCK_REFERENCE_SELECTED REGISTER(0x40008038)
#define CLOCK_SYSTEM 0x4000803C
#define CLOCK_SYSTEM_SELECTED REGISTER(0x40008044)
#define CLOCK_PERIPHERALS REGISTER(0x40008048)
#define RESETS 0x4000C000
#define RESETS_DONE REGISTER(0x4000C008)
#define GPIO0_CONTROL REGISTER(0x40014004)
#define GPIO1_CONTROL REGISTER(0x4001400C)
#define GPIO1_PAD REGISTER(0x4001C008)
#define CRYSTAL_CONTROL REGISTER(0x40024000)
#define CRYSTAL_STATUS REGISTER(0x40024004)
#define CRYSTAL_STARTUP REGISTER(0x4002400C)
#define PLL_STATUS REGISTER(0x40028000)
#define PLL_POWER_DOWN 0x40028004
#define PLL_MULTIPLIER REGISTER(0x40028008)
#define PLL_DIVIDERS REGISTER(0x4002800C)
#define UART0_DATA REGISTER(0x40034000)
#define UART0_FLAGS REGISTER(0x40034018)
#define UART0_DIVIDER REGISTER(0x40034024)
#define UART0_DIVIDER_64THS REGISTER(0x40034028)
#define UART0_FORMAT REGISTER(0x4003402C)
#define UART0_CONTROL REGISTER(0x40034030)
#define UART0_INTERRUPTS REGISTER(0x40034038)
#define WATCHDOG_CONTROL 0x40058000
#define WATCHDOG_REASON REGISTER(0x40058008)
#define CHIP_RESET REGISTER(0x40064008)
#define NVIC_ENABLE REGISTER(0xE000E100)
#define NVIC_PRIORITY_20_TO_23 REGISTER(0xE000E414)
#define SYSTICK_CONTROL REGISTER(0xE000E010)
#define SYSTICK_RELOAD REGISTER(0xE000E014)
#define SYSTICK_VALUE REGISTER(0xE000E018) /* counts down, once a cycle */

enum { RESET_IO = 1 << 5, RESET_PADS = 1 << 8, RESET_PLL = 1 << 12, RESET_UART0 = 1 << 22 };
enum { CRYSTAL_ENABLE = 0xFAB << 12 | 0xAA0 /* 1 to 15 MHz */, CRYSTAL_1_MS = 47 /* 256 cycles of 12 MHz each */ };
enum { SYSTEM_FROM_PLL = 1, REFERENCE_FROM_CRYSTAL = 2, PERIPHERALS_ENABLE = 1 << 11 };
enum { PLL_CORE = 1 << 0 | 1 << 5, PLL_OUTPUT = 1 << 3 }; /* in PLL_POWER_DOWN */
enum { PLL_VCO_HZ = 1500000000, PLL_DIVIDE_BY_12 = 6 << 16 | 2 << 12, CRYSTAL_HZ = 12000000 };
enum { GPIO_UART = 2, PAD_INPUT_PULLED_UP = 0x5A };
enum { UART_SENDS = 1 << 3, UART_RECEIVE_EMPTY = 1 << 4, UART_TRANSMIT_FULL = 1 << 5 };
enum { UART_8_BITS_FIFOS = 3 << 5 | 1 << 4, UART_ENABLE = 1 | 1 << 8 | 1 << 9 };
enum { UART_RECEIVE_HALF_FULL = 1 << 4 /* in UART0_INTERRUPTS: 16 bytes of the FIFO's 32, as it is after a reset */ };
enum { NVIC_UART0 = 20, LOWEST_PRIORITY = 0xC0 /* below SysTick, which the interrupt's own clock needs */ };
enum { ENTRY_TICKS = 40 /* of an interrupt outside of on_receive(), and of its saved registers: about */ };
enum { WATCHDOG_ENABLE = 1 << 30 };
enum { SYSTICK_ENABLE = 7 /* processor clock, with interrupt */, SYSTICK_BITS = 24, SYSTICK_MAX = 0xFFFFFF };
enum { BAUD = 115200, LEAST_64THS = 1 << 6, MOST_64THS = 0xFFFF << 6 };

#define READY 0x80000000u /* in CRYSTAL_STATUS and PLL_STATUS */

_Static_assert(BOARD_CLOCK_HZ == PLL_VCO_HZ / 12, "clock_hz of the board: 125 MHz");

static volatile uint32_t wraps; /* of SysTick */

void on_tick(void);
void on_receive(void);

void on_tick(void)
{
    wraps++;
}

static uint32_t cycles(void)
{
    uint32_t before, ticks;

    do {
        before = wraps;
        ticks = SYSTICK_MAX - SYSTICK_VALUE;
    } while (before != wraps);
    return before << SYSTICK_BITS | ticks;
}

static void receive(void)
{
    while ((UART0_FLAGS & UART_RECEIVE_EMPTY) == 0) {
        ring_put((uint8_t)UART0_DATA);
    }
}

void on_receive(void)
{
    const uint32_t start = cycles();

    receive();
    ring_spent(cycles() - start + ENTRY_TICKS);
}

static void end_resets(uint32_t blocks)
{
    CLEAR(RESETS) = blocks;
    while ((RESETS_DONE & blocks) != blocks) {
    }
}

static void set_clocks(void)
{
    CRYSTAL_STARTUP = CRYSTAL_1_MS;
    CRYSTAL_CONTROL = CRYSTAL_ENABLE;
    while ((CRYSTAL_STATUS & READY) == 0) {
    }
    CLEAR(CLOCK_SYSTEM) = SYSTEM_FROM_PLL;
    while (CLOCK_SYSTEM_SELECTED != 1) {
    }
    REGISTER(CLOCK_REFERENCE) = REFERENCE_FROM_CRYSTAL;
    while (CLOCK_REFERENCE_SELECTED != 1 << REFERENCE_FROM_CRYSTAL) {
    }
    SET(RESETS) = RESET_PLL;
    end_resets(RESET_PLL);
    PLL_MULTIPLIER = PLL_VCO_HZ / CRYSTAL_HZ;
    CLEAR(PLL_POWER_DOWN) = PLL_CORE;
    while ((PLL_STATUS & READY) == 0) {
    }
    PLL_DIVIDERS = PLL_DIVIDE_BY_12;
    CLEAR(PLL_POWER_DOWN) = PLL_OUTPUT;
    REGISTER(CLOCK_SYSTEM) = SYSTEM_FROM_PLL;
    while (CLOCK_SYSTEM_SELECTED != 1 << SYSTEM_FROM_PLL) {
    }
    CLOCK_PERIPHERALS = PERIPHERALS_ENABLE;
}

/* In 64ths; a bit has 16 steps of it. */
static uint32_t divider(uint32_t baud)
{
    return divider_of(BOARD_CLOCK_HZ * 4u, baud == 0 ? BAUD : baud, LEAST_64THS, MOST_64THS);
}

int port_takes_baud(uint32_t baud)
{
    return divider(baud) != 0;
}

/* The UART has to be off while its divider changes. */
void port_set_baud(uint32_t baud)
{
    while ((UART0_FLAGS & UART_SENDS) != 0) {
    }
    UART0_CONTROL = 0;
    UART0_DIVIDER = divider(baud) >> 6;
    UART0_DIVIDER_64THS = divider(baud) & 63;
    UART0_FORMAT = UART_8_BITS_FIFOS; /* after the divider, which is taken over only now */
    UART0_CONTROL = UART_ENABLE;
}

static void set_line(void)
{
    end_resets(RESET_IO | RESET_PADS | RESET_UART0);
    port_set_baud(0);
    GPIO1_PAD = PAD_INPUT_PULLED_UP;
    GPIO0_CONTROL = GPIO_UART;
    GPIO1_CONTROL = GPIO_UART;
}

void port_start(void)
{
    CLEAR(WATCHDOG_CONTROL) = WATCHDOG_ENABLE;
    set_clocks();
    set_line();
    SYSTICK_RELOAD = SYSTICK_MAX;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = SYSTICK_ENABLE;
    UART0_INTERRUPTS = UART_RECEIVE_HALF_FULL;
    NVIC_PRIORITY_20_TO_23 = LOWEST_PRIORITY;
    NVIC_ENABLE = 1u << NVIC_UART0;
}

static uint8_t reset_cause(void)
{
    const uint32_t reason = WATCHDOG_REASON, reset = CHIP_RESET;

    if ((reason & 1) != 0) {
        return PORT_RESET_WATCHDOG;
    }
    if ((reason & 2) != 0) {
        return PORT_RESET_SOFTWARE;
    }
    return (reset >> 16 & 1) != 0 ? PORT_RESET_PIN : (reset >> 8 & 1) != 0 ? PORT_RESET_POWER_ON : PORT_RESET_UNKNOWN;
}

port_facts_t port_facts(void)
{
    const port_facts_t facts = {
        .clock_kind = PORT_CLOCK_CYCLES,
        .clock_hz = BOARD_CLOCK_HZ,
        .reset_cause = reset_cause(),
        .credits = credits_of(RING_BYTES),
    };

    return facts;
}

/* Who waits here looks into the FIFO himself: the interrupt comes only when that is half full. */
size_t port_read(uint8_t *bytes, size_t capacity)
{
    size_t count = 0;

    while (count == 0) {
        __asm__ volatile("cpsid i" ::: "memory");
        receive();
        __asm__ volatile("cpsie i" ::: "memory");
        count = ring_take(bytes, capacity);
    }
    return count;
}

void port_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while ((UART0_FLAGS & UART_TRANSMIT_FULL) != 0) {
        }
        UART0_DATA = bytes[i];
    }
}

uint32_t port_ticks(void)
{
    return ring_ticks(cycles);
}
