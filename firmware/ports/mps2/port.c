/* Arm MPS2+ (AN385, AN386, AN500), as QEMU has it: CMSDK UART 0 and CMSDK timer 0. */
#include "port.h"

#include "divider.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define TIMER0_CONTROL REGISTER(0x40000000)
#define TIMER0_VALUE REGISTER(0x40000004) /* counts down, once a cycle of the 25 MHz clock */
#define TIMER0_RELOAD REGISTER(0x40000008)
#define UART0_DATA REGISTER(0x40004000)
#define UART0_STATE REGISTER(0x40004004)
#define UART0_CONTROL REGISTER(0x40004008)
#define UART0_INTERRUPT_CLEAR REGISTER(0x4000400C)
#define UART0_BAUD_DIVIDER REGISTER(0x40004010)
#define NVIC_ENABLE REGISTER(0xE000E100)
#define NVIC_PENDING_CLEAR REGISTER(0xE000E280)

enum { TIMER_ENABLE = 1 };
enum { UART_TRANSMIT_FULL = 1, UART_RECEIVE_FULL = 2 };
enum { UART_TRANSMIT_ENABLE = 1, UART_RECEIVE_ENABLE = 2, UART_RECEIVE_INTERRUPT = 8 };
enum { UART_RECEIVE_INTERRUPT_FLAG = 2, NVIC_UART0_RECEIVE = 1 };
enum { BAUD = 115200, LEAST_DIVIDER = 16, MOST_DIVIDER = 0xFFFFF, BITS_OF_A_BYTE = 10 };
enum { CREDITS = 4 /* QEMU holds back what the UART cannot take, so nothing is lost while the model runs */ };

static uint32_t divider(uint32_t baud)
{
    return divider_of(BOARD_CLOCK_HZ, baud == 0 ? BAUD : baud, LEAST_DIVIDER, MOST_DIVIDER);
}

/* Interrupts stay masked: the receive interrupt only ends wait_for_byte(), which spares the host's processor. */
void port_start(void)
{
    __asm__ volatile("cpsid i");
    NVIC_ENABLE = NVIC_UART0_RECEIVE;
    UART0_BAUD_DIVIDER = divider(0);
    UART0_CONTROL = UART_TRANSMIT_ENABLE | UART_RECEIVE_ENABLE | UART_RECEIVE_INTERRUPT;
    TIMER0_RELOAD = 0xFFFFFFFF;
    TIMER0_VALUE = 0xFFFFFFFF;
    TIMER0_CONTROL = TIMER_ENABLE;
}

port_facts_t port_facts(void)
{
    const port_facts_t facts = {
        .clock_kind = PORT_CLOCK_CYCLES,
        .clock_hz = BOARD_CLOCK_HZ,
        .reset_cause = PORT_RESET_POWER_ON,
        .credits = CREDITS,
    };

    return facts;
}

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
    return ~TIMER0_VALUE;
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
