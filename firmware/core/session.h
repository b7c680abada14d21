/* The device's half of PROTOCOL.md: takes the bytes of the line as they come, answers through port_write(). */
#ifndef SESSION_H
#define SESSION_H

#include <stddef.h>
#include <stdint.h>

/* `fault` is what runtime_start() returned: NULL, or the words that every RUN is answered with. */
void session_start(const char *fault);

/* Bytes from the line; returns when every frame that they complete is answered. */
void session_take(const uint8_t *bytes, size_t count);

/* Where an output goes that is not remembered: over the answer that would be forgotten next. */
int8_t *session_spare_output(void);

#endif
