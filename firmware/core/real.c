#ifdef WITH_MLPERF

#pragma GCC optimize("Os") /* nothing here is in a hurry */

#include "real.h"

enum { FRACTION_BITS = 60, BIAS = 150 /* of a binary32 whose mantissa is a whole number */ };

static uint32_t mantissa(uint32_t bits)
{
    const uint32_t low = bits & 0x7FFFFF;

    return (bits >> 23 & 0xFF) == 0 ? low : low | 0x800000;
}

/* value = mantissa * 2^exponent */
static int16_t exponent(uint32_t bits)
{
    const int16_t field = (int16_t)(bits >> 23 & 0xFF);

    return (int16_t)((field == 0 ? 1 : field) - BIAS);
}

/* value * 2^by, rounded half up; what is shifted beyond 64 bits is lost. */
static uint64_t shifted(uint64_t value, int16_t by)
{
    if (by >= 0) {
        return by < 64 ? value << by : 0;
    }
    return by > -64 ? (value >> -by) + (value >> (-by - 1) & 1) : 0;
}

real_t real_times(int32_t n, uint32_t bits)
{
    const uint64_t product = (uint64_t)(uint32_t)(n < 0 ? -n : n) * mantissa(bits);
    const int16_t power = exponent(bits);
    real_t number = {n < 0 && product != 0, 0, 0};

    if (power >= 0) {
        number.whole = power > 31 || shifted(product, power) > UINT32_MAX ? UINT32_MAX : (uint32_t)(product << power);
    } else {
        number.whole = power > -32 ? (uint32_t)(product >> -power) : 0;
        number.fraction = product - shifted(number.whole, (int16_t)-power);
        number.fraction = shifted(number.fraction, (int16_t)(FRACTION_BITS + power));
    }
    return number;
}

int32_t real_ratio256(uint32_t a, uint32_t b, int32_t limit)
{
    const uint64_t ratio = ((uint64_t)mantissa(a) << 32) / mantissa(b); /* of the mantissas, in 2^-32 */
    const int16_t power = (int16_t)(32 - 8 - exponent(a) + exponent(b));
    const uint64_t size = power < 0 ? (ratio == 0 ? 0 : UINT64_MAX) : power < 64 ? ratio >> power : 0;
    const int32_t magnitude = size > (uint64_t)limit ? limit : (int32_t)size;

    return a >> 31 ? -magnitude : magnitude;
}

uint32_t real_q24(uint32_t bits)
{
    return (uint32_t)shifted(mantissa(bits), (int16_t)(exponent(bits) + 24));
}

uint8_t whole_text(uint64_t number, char *text)
{
    char digits[20];
    uint8_t count = 0, length = 0;

    do {
        digits[count++] = (char)('0' + (char)(number % 10));
        number /= 10;
    } while (number != 0);
    while (count > 0) {
        text[length++] = digits[--count];
    }
    text[length] = 0;
    return length;
}

uint8_t real_text(real_t number, char *text)
{
    uint8_t length = 0, counted;

    if (number.negative) {
        text[length++] = '-';
    }
    counted = whole_text(number.whole, text + length);
    length = (uint8_t)(length + counted);
    counted = number.whole == 0 ? 0 : counted;
    text[length++] = '.';
    do {
        number.fraction *= 10;
        text[length] = (char)('0' + (char)(number.fraction >> FRACTION_BITS));
        counted = (uint8_t)(counted + (counted > 0 || text[length] != '0'));
        length++;
        number.fraction &= ((uint64_t)1 << FRACTION_BITS) - 1;
    } while (number.fraction != 0 && counted < REAL_DIGITS && length < REAL_TEXT_BYTES - 1);
    text[length] = 0;
    return length;
}

#endif
