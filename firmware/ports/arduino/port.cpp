/* Any board with an Arduino core: only Serial, micros() and delay() are used. */
#include <Arduino.h>

extern "C" {
#include "credits.h"
#include "divider.h"
#include "port.h"
}

/* What the core's interrupt receives while the model runs. */
#ifdef ARDUINO_ARCH_ESP32
#define RECEIVE_BYTES 8192
#elif defined(SERIAL_RX_BUFFER_SIZE)
#define RECEIVE_BYTES (SERIAL_RX_BUFFER_SIZE - 1)
#else
#define RECEIVE_BYTES 0 /* nobody knows: one frame at a time */
#endif

/* Waits for the host where USB is native (Serial is false until it raises DTR); elsewhere Serial is true at once. */
void port_start(void)
{
#ifdef ARDUINO_ARCH_ESP32
    Serial.setRxBufferSize(RECEIVE_BYTES);
#endif
    Serial.begin(BOARD_BAUD);
    while (!Serial) {
        delay(1);
    }
}

port_facts_t port_facts(void)
{
    port_facts_t facts;

    facts.clock_kind = PORT_CLOCK_MICROSECONDS;
    facts.clock_hz = 1000000;
    facts.reset_cause = PORT_RESET_UNKNOWN;
    facts.credits = credits_of(RECEIVE_BYTES);
    return facts;
}

/* Lets the core's other tasks (USB, watchdog) have their turn. An AVR has none, but a receive buffer that is soon full.
 */
static void rest(void)
{
#ifdef __AVR__
    yield();
#else
    delay(1);
#endif
}

size_t port_read(uint8_t *bytes, size_t capacity)
{
    size_t count = 0;

    while (Serial.available() <= 0) {
        rest();
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

#if defined(__AVR__) && !defined(USBCON)
#define LINE_HZ (F_CPU / 8) /* a bit is eight cycles of the divided clock, the core tries that first */
#define LEAST_DIVIDER 1
#define MOST_DIVIDER 4096
#elif defined(ARDUINO_ARCH_ESP32) && !ARDUINO_USB_CDC_ON_BOOT
#define LINE_HZ (16 * 40000000ul) /* in sixteenths, of the crystal: the slowest clock that the core may choose */
#define LEAST_DIVIDER (2 << 4)
#define MOST_DIVIDER (0xFFF << 4)
#endif

#ifdef LINE_HZ /* else the line has no rate, as USB, or nobody knows its divider */
int port_takes_baud(uint32_t baud)
{
    return baud == 0 || divider_of(LINE_HZ, baud, LEAST_DIVIDER, MOST_DIVIDER) != 0;
}

void port_set_baud(uint32_t baud)
{
    Serial.flush();
#ifdef __AVR__
    Serial.begin(baud == 0 ? BOARD_BAUD : baud);
#else
    Serial.updateBaudRate(baud == 0 ? BOARD_BAUD : baud);
#endif
}
#endif
