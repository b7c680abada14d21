/* Arithmetic that the compiler calls by name: the ESP8266's compiler brings none of it for call0 code on an ESP32, and
   a windowed libgcc cannot be called from call0 code. The names and meanings are libgcc's. */
#include <stdint.h>

uint64_t __muldi3(uint64_t a, uint64_t b);
uint64_t __ashldi3(uint64_t value, int count);
uint64_t __lshrdi3(uint64_t value, int count);
int64_t __ashrdi3(int64_t value, int count);
uint32_t __udivsi3(uint32_t a, uint32_t b);
uint32_t __umodsi3(uint32_t a, uint32_t b);
int32_t __divsi3(int32_t a, int32_t b);
int32_t __modsi3(int32_t a, int32_t b);
uint64_t __udivdi3(uint64_t a, uint64_t b);
uint64_t __umoddi3(uint64_t a, uint64_t b);
int64_t __divdi3(int64_t a, int64_t b);
int64_t __moddi3(int64_t a, int64_t b);
int __clzsi2(uint32_t value);

typedef union {
    uint64_t whole;
    struct {
        uint32_t low, high;
    } half; /* little-endian */
} halves_t;

/* 32 x 32 -> 64 bits from four 16 x 16 products. */
static uint64_t multiply_words(uint32_t a, uint32_t b)
{
    const uint32_t a0 = a & 0xFFFF, a1 = a >> 16, b0 = b & 0xFFFF, b1 = b >> 16;
    const uint32_t low = a0 * b0;
    const uint32_t cross = a1 * b0 + (low >> 16); /* at most 0xFFFF * 0xFFFF + 0xFFFF: fits */
    const uint32_t middle = a0 * b1 + (cross & 0xFFFF);
    halves_t product;

    product.half.low = middle << 16 | (low & 0xFFFF);
    product.half.high = a1 * b1 + (cross >> 16) + (middle >> 16);
    return product.whole;
}

uint64_t __muldi3(uint64_t a, uint64_t b)
{
    const halves_t x = {.whole = a}, y = {.whole = b};
    halves_t product = {.whole = multiply_words(x.half.low, y.half.low)};

    product.half.high += x.half.low * y.half.high + x.half.high * y.half.low;
    return product.whole;
}

uint64_t __ashldi3(uint64_t value, int count)
{
    halves_t x = {.whole = value};

    if (count >= 32) {
        x.half.high = x.half.low << (count - 32);
        x.half.low = 0;
    } else if (count > 0) {
        x.half.high = x.half.high << count | x.half.low >> (32 - count);
        x.half.low <<= count;
    }
    return x.whole;
}

uint64_t __lshrdi3(uint64_t value, int count)
{
    halves_t x = {.whole = value};

    if (count >= 32) {
        x.half.low = x.half.high >> (count - 32);
        x.half.high = 0;
    } else if (count > 0) {
        x.half.low = x.half.low >> count | x.half.high << (32 - count);
        x.half.high >>= count;
    }
    return x.whole;
}

int64_t __ashrdi3(int64_t value, int count)
{
    halves_t x = {.whole = (uint64_t)value};
    const int32_t high = (int32_t)x.half.high;

    if (count >= 32) {
        x.half.low = (uint32_t)(high >> (count - 32));
        x.half.high = (uint32_t)(high >> 31);
    } else if (count > 0) {
        x.half.low = x.half.low >> count | x.half.high << (32 - count);
        x.half.high = (uint32_t)(high >> count);
    }
    return (int64_t)x.whole;
}

int __clzsi2(uint32_t value)
{
    int zeros = 0;

    while (zeros < 32 && (value & 0x80000000u) == 0) {
        value <<= 1;
        zeros++;
    }
    return zeros;
}

/* Long division, one bit at a time: the quotient is returned, the remainder left in *a. x / 0 is all ones. */
static uint32_t divide(uint32_t *a, uint32_t b)
{
    uint32_t quotient = 0, bit = 1;

    if (b == 0) {
        return UINT32_MAX;
    }
    while (b < *a && (b & 0x80000000u) == 0) {
        b <<= 1;
        bit <<= 1;
    }
    for (; bit != 0; bit >>= 1) {
        if (*a >= b) {
            *a -= b;
            quotient |= bit;
        }
        b >>= 1;
    }
    return quotient;
}

static uint64_t divide_long(uint64_t *a, uint64_t b)
{
    uint64_t quotient = 0, bit = 1;

    if (b == 0) {
        return UINT64_MAX;
    }
    while (b < *a && (int64_t)b >= 0) {
        b += b;
        bit += bit;
    }
    for (; bit != 0; bit >>= 1) {
        if (*a >= b) {
            *a -= b;
            quotient |= bit;
        }
        b >>= 1;
    }
    return quotient;
}

uint32_t __udivsi3(uint32_t a, uint32_t b)
{
    return divide(&a, b);
}

uint32_t __umodsi3(uint32_t a, uint32_t b)
{
    divide(&a, b);
    return a;
}

static uint32_t magnitude(int32_t value)
{
    return value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
}

int32_t __divsi3(int32_t a, int32_t b)
{
    const uint32_t quotient = __udivsi3(magnitude(a), magnitude(b));

    return (int32_t)((a ^ b) < 0 ? 0u - quotient : quotient);
}

int32_t __modsi3(int32_t a, int32_t b)
{
    const uint32_t remainder = __umodsi3(magnitude(a), magnitude(b));

    return (int32_t)(a < 0 ? 0u - remainder : remainder);
}

uint64_t __udivdi3(uint64_t a, uint64_t b)
{
    return divide_long(&a, b);
}

uint64_t __umoddi3(uint64_t a, uint64_t b)
{
    divide_long(&a, b);
    return a;
}

static uint64_t magnitude_long(int64_t value)
{
    return value < 0 ? 0u - (uint64_t)value : (uint64_t)value;
}

int64_t __divdi3(int64_t a, int64_t b)
{
    const uint64_t quotient = __udivdi3(magnitude_long(a), magnitude_long(b));

    return (int64_t)((a ^ b) < 0 ? 0u - quotient : quotient);
}

int64_t __moddi3(int64_t a, int64_t b)
{
    const uint64_t remainder = __umoddi3(magnitude_long(a), magnitude_long(b));

    return (int64_t)(a < 0 ? 0u - remainder : remainder);
}
