/* What the ESP32-C3 and the ESP32-S3 have in common besides their serial lines: watchdogs, clocks, the reason of a
   reset. Addresses from Espressif's Technical Reference Manuals; the blocks are the same, the C3 is the RISC-V one. */
#ifndef CHIP_H
#define CHIP_H

#include "serial.h"

#define RTC_OPTIONS REGISTER(0x60008000)
#define RTC_RESET_STATE REGISTER(0x60008038)
#define TIMER0_WATCHDOG REGISTER(0x6001F048)
#define TIMER0_WATCHDOG_UNLOCK REGISTER(0x6001F064)
#define TIMER1_WATCHDOG REGISTER(0x60020048)
#define TIMER1_WATCHDOG_UNLOCK REGISTER(0x60020064)

#ifdef __riscv
#define RTC_WATCHDOG REGISTER(0x60008090)
#define RTC_WATCHDOG_UNLOCK REGISTER(0x600080A8)
#define SUPER_WATCHDOG REGISTER(0x600080AC)
#define SUPER_WATCHDOG_UNLOCK REGISTER(0x600080B0)
#define PROCESSOR_CLOCK REGISTER(0x600C0008)
#define SYSTEM_CLOCK REGISTER(0x600C0058)
#else
#define RTC_WATCHDOG REGISTER(0x60008098)
#define RTC_WATCHDOG_UNLOCK REGISTER(0x600080B0)
#define SUPER_WATCHDOG REGISTER(0x600080B4)
#define SUPER_WATCHDOG_UNLOCK REGISTER(0x600080B8)
#define PROCESSOR_CLOCK REGISTER(0x600C0010)
#define SYSTEM_CLOCK REGISTER(0x600C0060)
#endif

/* Watchdogs off, the serial line ready, the processor at the clock that the board file asks for. */
void chip_start(void);

#endif
