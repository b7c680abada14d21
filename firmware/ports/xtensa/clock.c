/* CCOUNT, the processor's own cycle counter. */
#include "port.h"

uint32_t port_ticks(void)
{
    uint32_t ticks;

    __asm__ volatile("rsr.ccount %0" : "=a"(ticks));
    return ticks;
}
