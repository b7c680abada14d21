/* QEMU's xtensa machine `sim` with -semihosting: the serial line is file 0 and 1 of the simulator call. */
#include "port.h"

enum { CALL_READ = 3, CALL_WRITE = 4 };
enum { CREDITS = 4 /* QEMU holds back what was not read yet */ };

/* Returns the count of bytes done, or -1 when there is nothing to read yet. */
static int32_t simulator(int call, int file, const volatile void *bytes, size_t count)
{
    register int32_t a2 __asm__("a2") = call;
    register int32_t a3 __asm__("a3") = file;
    register const volatile void *a4 __asm__("a4") = bytes;
    register size_t a5 __asm__("a5") = count;

    __asm__ volatile("simcall" : "+r"(a2), "+r"(a3) : "r"(a4), "r"(a5) : "memory");
    return a2;
}

void port_start(void)
{
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

size_t port_read(uint8_t *bytes, size_t capacity)
{
    int32_t taken;

    do {
        taken = simulator(CALL_READ, 0, bytes, capacity);
    } while (taken <= 0);
    return (size_t)taken;
}

void port_write(const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        const int32_t sent = simulator(CALL_WRITE, 1, bytes, count);

        if (sent > 0) {
            bytes += sent;
            count -= (size_t)sent;
        }
    }
}
