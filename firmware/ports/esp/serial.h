/* The two serial lines that the ESP32-C3 and the ESP32-S3 have: UART0, or with -DBOARD_SERIAL_USB the USB port of the
   chip itself (USB-Serial-JTAG). Both give port_read() and port_write(). */
#ifndef SERIAL_H
#define SERIAL_H

#include <stdint.h>

#ifndef REGISTER /* a test has its own */
#define REGISTER(address) (*(volatile uint32_t *)(address))
#endif

#ifdef BOARD_SERIAL_USB
enum { SERIAL_CREDITS = 4 /* USB holds back what was not read yet */ };
#else
enum { SERIAL_CREDITS = 1 /* receive is polled: while the model runs only the FIFO takes bytes */ };
#endif

/* Wait until the ROM's own words are out, then make the line ours. */
void serial_start(void);

#endif
