/* Text commands between the frames: printable text up to a '%'.
 *
 * The second byte of every frame is its type, which is never printable: so two printable bytes at the start of a block
 * begin a command. */
#ifndef COMMAND_H
#define COMMAND_H

#include <stddef.h>
#include <stdint.h>

/* One byte of the line. Bytes that are no command are passed on in `frame`; returns how many, 0 to 2. */
size_t command_take(uint8_t byte, uint8_t frame[2]);

/* The next word of a command, cut out of `*rest`; empty at its end. */
const char *command_word(char **rest);

/* The number that a word is, `otherwise` when it is empty, UINT32_MAX when it is none. */
uint32_t command_number(const char *word, uint32_t otherwise);

/* The value of a hexadecimal digit, or -1. */
int8_t command_digit(char c);

#endif
