/* QEMU's riscv machine `virt`: a 16550 UART, an interrupt controller, and the core's own count of instructions. */
#include "port.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define UART(number) (*(volatile uint8_t *)(0x10000000 + (number)))

#define UART_DATA UART(0)
#define UART_INTERRUPT_ENABLE UART(1)
#define UART_FIFO_CONTROL UART(2)
#define UART_LINE_STATE UART(5)
#define UART_PRIORITY REGISTER(0x0C000000 + 4 * UART_INTERRUPT)
#define INTERRUPT_ENABLE REGISTER(0x0C002000)
#define INTERRUPT_CLAIM REGISTER(0x0C200004) /* read: which; write it back: done */

enum { UART_INTERRUPT = 10, RECEIVE_INTERRUPT = 1 };
enum { RECEIVED = 1, TRANSMIT_EMPTY = 0x20 }; /* in UART_LINE_STATE */
enum { FIFOS_ON = 1 };
enum { CREDITS = 4 /* QEMU holds back what the UART cannot take, so nothing is lost while the model runs */ };

/* Interrupts stay masked: the receive interrupt only ends wait_for_byte(), which spares the host's processor. */
void port_start(void)
{
    UART_FIFO_CONTROL = FIFOS_ON;
    UART_INTERRUPT_ENABLE = RECEIVE_INTERRUPT;
    UART_PRIORITY = 1;
    INTERRUPT_ENABLE = 1u << UART_INTERRUPT;
    __asm__ volatile(".option push\n"
                     ".option arch, +zicsr\n"
                     "csrw mie, %0\n"
                     ".option pop"
                     :
                     : "r"(1u << 11)); /* of the interrupt controller */
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
    while ((UART_LINE_STATE & RECEIVED) == 0) {
        __asm__ volatile("wfi");
        INTERRUPT_CLAIM = INTERRUPT_CLAIM;
    }
}

size_t port_read(uint8_t *bytes, size_t capacity)
{
    size_t count = 0;

    wait_for_byte();
    while (count < capacity && (UART_LINE_STATE & RECEIVED) != 0) {
        bytes[count] = UART_DATA;
        count++;
    }
    return count;
}

void port_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while ((UART_LINE_STATE & TRANSMIT_EMPTY) == 0) {
        }
        UART_DATA = bytes[i];
    }
}

uint32_t port_ticks(void)
{
    uint32_t ticks;

    __asm__ volatile(".option push\n"
                     ".option arch, +zicsr\n"
                     "csrr %0, minstret\n"
                     ".option pop"
                     : "=r"(ticks));
    return ticks;
}
