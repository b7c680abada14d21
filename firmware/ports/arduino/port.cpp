/* Any board with an Arduino core: only Serial, micros() and delay() are used. */
#include <Arduino.h>

extern "C" {
#include "port.h"
}

/* Waits for the host where USB is native (Serial is false until it raises DTR); elsewhere Serial is true at once. */
void port_start(void)
{
    Serial.begin(BOARD_BAUD);
    while (!Serial) {
        delay(1);
    }
}

/* Nothing reads while the model runs, and a core's receive buffer may be 64 bytes: so one frame at a time. */
port_facts_t port_facts(void)
{
    port_facts_t facts;

    facts.clock_kind = PORT_CLOCK_MICROSECONDS;
    facts.clock_hz = 1000000;
    facts.reset_cause = PORT_RESET_UNKNOWN;
    facts.credits = 1;
    return facts;
}

/* delay() lets the core's other tasks (USB, watchdog) have their turn. */
size_t port_read(uint8_t *bytes, size_t capacity)
{
    size_t count = 0;

    while (Serial.available() <= 0) {
        delay(1);
    }
    while (count < capacity && Serial.available() > 0) {
        bytes[count] = (uint8_t)Serial.read();
        count++;
    }
    return count;
}

void port_write(const uint8_t *bytes, size_t count)
{
    Serial.write(bytes, count);
}

uint32_t port_ticks(void)
{
    return (uint32_t)micros();
}
