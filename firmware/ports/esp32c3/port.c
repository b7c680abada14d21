/* ESP32-C3: the chip of ../esp, and the cycle counter of its RISC-V core. */
#include "port.h"

#include "../esp/chip.h"

void port_start(void)
{
    chip_start();
    __asm__ volatile(".option push\n"
                     ".option arch, +zicsr\n"
                     "csrwi 0x7E0, 1\n" /* count cycles */
                     "csrwi 0x7E1, 1\n" /* go */
                     ".option pop");
}

uint32_t port_ticks(void)
{
    uint32_t ticks;

    __asm__ volatile(".option push\n"
                     ".option arch, +zicsr\n"
                     "csrr %0, 0x7E2\n"
                     ".option pop"
                     : "=r"(ticks));
    return ticks;
}
