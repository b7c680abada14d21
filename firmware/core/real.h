/* Real numbers without floating point: IEEE-754 binary32 bit patterns in, decimals out. */
#ifndef REAL_H
#define REAL_H

#include <stdint.h>

/* A sign, a whole part, and 60 bits behind the point. */
typedef struct {
    uint8_t negative;
    uint32_t whole;
    uint64_t fraction; /* / 2^60 */
} real_t;

/* n * the positive number with these bits, exact to 2^-60, at most 2^32 - 1; |n| <= 255. */
real_t real_times(int32_t n, uint32_t bits);

/* 256 * a / b of two numbers given as bits, b > 0, cut to a whole number and to `limit`: `a` in 256ths of a scale. */
int32_t real_ratio256(uint32_t a, uint32_t b, int32_t limit);

/* round(2^24 * the number with these bits), for numbers of [0, 2^7). */
uint32_t real_q24(uint32_t bits);

/* The number in decimals, 12 digits that count, as C text; `text` has room for REAL_TEXT_BYTES. Returns its length. */
enum { REAL_DIGITS = 12, REAL_TEXT_BYTES = 40 };
uint8_t real_text(real_t number, char *text);

/* The same for a whole number. */
uint8_t whole_text(uint64_t number, char *text);

#endif
