/* Arm MPS2+ and MPS3 as QEMU has them: CMSDK UART 0 and a timer. Addresses are those of AN385, AN386 and AN500 unless
 * the board file says others. */
#include "port.h"

#include "../ring/ring.h"
#include "divider.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#ifndef UART0
#define UART0 0x40004000
#define UART0_RECEIVE 0 /* its interrupt */
#define TIMER0 0x40000000
#endif

#define UART0_DATA REGISTER(UART0)
#define UART0_STATE REGISTER(UART0 + 0x4)
#define UART0_CONTROL REGISTER(UART0 + 0x8)
#define UART0_INTERRUPT_CLEAR REGISTER(UART0 + 0xC)
#define UART0_BAUD_DIVIDER REGISTER(UART0 + 0x10)
#define NVIC_ENABLE REGISTER(0xE000E100 + UART0_RECEIVE / 32 * 4)
#define NVIC_PENDING_CLEAR REGISTER(0xE000E280 + UART0_RECEIVE / 32 * 4)

#ifdef COUNTER /* the system counter of SSE-300: counts up */
#define CLOCK REGISTER(COUNTER + 0x8)
#else
#define CLOCK (~REGISTER(TIMER0 + 0x4)) /* CMSDK timer 0: counts down */
#endif

enum { UART_TRANSMIT_FULL = 1, UART_RECEIVE_FULL = 2 };
enum { UART_TRANSMIT_ENABLE = 1, UART_RECEIVE_ENABLE = 2, UART_RECEIVE_INTERRUPT = 8 };
enum { UART_RECEIVE_INTERRUPT_FLAG = 2, NVIC_UART0_RECEIVE = 1 << UART0_RECEIVE % 32 };
enum { BAUD = 115200, LEAST_DIVIDER = 16, MOST_DIVIDER = 0xFFFFF, BITS_OF_A_BYTE = 10 };

#ifdef BOARD_RECEIVE_INTERRUPT /* for a real board: in QEMU, instructions would no longer be counted exactly */
enum { CREDITS_BYTES = RING_BYTES, ENTRY_TICKS = 40 /* of an interrupt outside of on_receive(): about */ };
#else
enum { CREDITS_BYTES = 4 * RUN_FRAME_BYTES /* QEMU holds back what the UART cannot take: nothing is lost */ };
#endif

static void start_clock(void)
{
#ifdef COUNTER
    REGISTER(COUNTER) = 1; /* enable */
#else
    REGISTER(TIMER0 + 0x8) = 0xFFFFFFFF; /* reload */
    REGISTER(TIMER0 + 0x4) = 0xFFFFFFFF; /* value */
    REGISTER(TIMER0) = 1;                /* enable */
#endif
}

static uint32_t cycles(void)
{
    return CLOCK;
}

static uint32_t divider(uint32_t baud)
{
    return divider_of(BOARD_CLOCK_HZ, baud == 0 ? BAUD : baud, LEAST_DIVIDER, MOST_DIVIDER);
}

/* Interrupts stay masked where they only end the waiting for a byte, which spares the host's processor. */
void port_start(void)
{
    __asm__ volatile("cpsid i");
    NVIC_ENABLE = NVIC_UART0_RECEIVE;
    UART0_BAUD_DIVIDER = divider(0);
    UART0_CONTROL = UART_TRANSMIT_ENABLE | UART_RECEIVE_ENABLE | UART_RECEIVE_INTERRUPT;
    start_clock();
#ifdef BOARD_RECEIVE_INTERRUPT
    __asm__ volatile("cpsie i");
#endif
}

port_facts_t port_facts(void)
{
    const port_facts_t facts = {
        .clock_kind = PORT_CLOCK_CYCLES,
        .clock_hz = BOARD_CLOCK_HZ,
        .reset_cause = PORT_RESET_POWER_ON,
        .credits = credits_of(CREDITS_BYTES),
    };

    return facts;
}

#ifdef BOARD_RECEIVE_INTERRUPT

void on_receive(void);

void on_receive(void)
{
    const uint32_t start = cycles();

    UART0_INTERRUPT_CLEAR = UART_RECEIVE_INTERRUPT_FLAG;
    while ((UART0_STATE & UART_RECEIVE_FULL) != 0) {
        ring_put((uint8_t)UART0_DATA);
    }
    ring_spent(cycles() - start + ENTRY_TICKS);
}

/* Masked between the look and the sleep: an interrupt ends the sleep all the same, and is taken behind it. */
size_t port_read(uint8_t *bytes, size_t capacity)
{
    size_t count;

    while ((count = ring_take(bytes, capacity)) == 0) {
        __asm__ volatile("cpsid i" ::: "memory");
        if (ring_is_empty()) {
            __asm__ volatile("wfi");
        }
        __asm__ volatile("cpsie i\n isb" ::: "memory");
    }
    return count;
}

#else

static void wait_for_byte(void)
{
    while ((UART0_STATE & UART_RECEIVE_FULL) == 0) {
        __asm__ volatile("wfi");
        UART0_INTERRUPT_CLEAR = UART_RECEIVE_INTERRUPT_FLAG;
        NVIC_PENDING_CLEAR = NVIC_UART0_RECEIVE;
    }
}

size_t port_read(uint8_t *bytes, size_t capacity)
{
    size_t count = 0;

    wait_for_byte();
    while (count < capacity && (UART0_STATE & UART_RECEIVE_FULL) != 0) {
        bytes[count] = (uint8_t)UART0_DATA;
        count++;
    }
    return count;
}

#endif

void port_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while ((UART0_STATE & UART_TRANSMIT_FULL) != 0) {
        }
        UART0_DATA = bytes[i];
    }
}

uint32_t port_ticks(void)
{
#ifdef BOARD_RECEIVE_INTERRUPT
    return ring_ticks(cycles);
#else
    return cycles();
#endif
}

int port_takes_baud(uint32_t baud)
{
    return divider(baud) != 0;
}

/* The UART says when it can take a byte, not when the last one has left: that is at most one byte's time later. */
void port_set_baud(uint32_t baud)
{
    const uint32_t byte_ticks = UART0_BAUD_DIVIDER * (BITS_OF_A_BYTE + 1);
    uint32_t start;

    while ((UART0_STATE & UART_TRANSMIT_FULL) != 0) {
    }
    start = port_ticks();
    while (port_ticks() - start < byte_ticks) {
    }
    UART0_BAUD_DIVIDER = divider(baud);
}
