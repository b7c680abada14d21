/* USB-Serial-JTAG of the ESP32-C3 and the ESP32-S3: a serial port of the chip itself. Its ROM has attached it to the
   bus already, and the hardware answers the host's questions about it. Registers from the Technical Reference Manuals.
 */
#include "serial.h"

#ifdef BOARD_SERIAL_USB

#include "port.h"

#ifdef __riscv
#define USB_DATA REGISTER(0x60043000)
#define USB_STATE REGISTER(0x60043004)
#else
#define USB_DATA REGISTER(0x60038000)
#define USB_STATE REGISTER(0x60038004)
#endif

enum { SEND_NOW = 1, MAY_SEND = 2, RECEIVED = 4 }; /* in USB_STATE */

void serial_start(void)
{
}

size_t port_read(uint8_t *bytes, size_t capacity)
{
    size_t count = 0;

    while ((USB_STATE & RECEIVED) == 0) {
    }
    while (count < capacity && (USB_STATE & RECEIVED) != 0) {
        bytes[count] = (uint8_t)USB_DATA;
        count++;
    }
    return count;
}

/* A packet goes out by itself when it is full; SEND_NOW also ends a full one, with an empty one behind it, so that the
   host hands it on. */
void port_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while ((USB_STATE & MAY_SEND) == 0) {
        }
        USB_DATA = bytes[i];
    }
    USB_STATE = SEND_NOW;
}

#endif
