/* What a chip or a framework must give: implemented once per folder of firmware/ports/. */
#ifndef PORT_H
#define PORT_H

#include <stddef.h>
#include <stdint.h>

enum { PORT_CLOCK_CYCLES = 1, PORT_CLOCK_MICROSECONDS = 2 };

enum {
    PORT_RESET_UNKNOWN = 0,
    PORT_RESET_POWER_ON = 1,
    PORT_RESET_PIN = 2,
    PORT_RESET_SOFTWARE = 3,
    PORT_RESET_WATCHDOG = 4
};

typedef struct {
    uint8_t clock_kind;  /* PORT_CLOCK_... : what port_ticks() counts */
    uint32_t clock_hz;   /* ticks in a second on the real chip */
    uint8_t reset_cause; /* PORT_RESET_... */
    uint8_t credits;     /* RUN frames that may be under way at once without a byte lost; at least 1 */
} port_facts_t;

/* Clocks, watchdogs, serial line: called once, before anything else of this header. */
void port_start(void);

/* Facts, valid after port_start(). */
port_facts_t port_facts(void);

/* Wait for at least one byte, take at most `capacity`. Returns how many were taken. */
size_t port_read(uint8_t *bytes, size_t capacity);

/* Send all bytes; returns when the line has taken them. */
void port_write(const uint8_t *bytes, size_t count);

/* A free-running counter that wraps at 2^32. */
uint32_t port_ticks(void);

/* Optional, both or none: whether the line can run at `baud` (0 is the rate of port_start(), and stands for any); and
 * change to it when all that was written has left. core/baud.c has them for ports that cannot. */
int port_takes_baud(uint32_t baud);
void port_set_baud(uint32_t baud);

#endif
