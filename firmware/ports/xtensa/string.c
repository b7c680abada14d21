/* The four functions a compiler may call without being asked, and strlen(): there is no C library here. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Without this, the compiler recognises the loops below and makes them call themselves. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

static int both_aligned(const void *a, const void *b)
{
    return (((uintptr_t)a | (uintptr_t)b) & 3) == 0;
}

void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    uint8_t *target = to;
    const uint8_t *source = from;

    if (both_aligned(to, from)) {
        for (; count >= 4; count -= 4, target += 4, source += 4) {
            *(uint32_t __attribute__((may_alias)) *)(void *)target =
                *(const uint32_t __attribute__((may_alias)) *)(const void *)source;
        }
    }
    for (size_t i = 0; i < count; i++) {
        target[i] = source[i];
    }
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    uint8_t *target = to;
    const uint8_t *source = from;

    if ((uintptr_t)to - (uintptr_t)from >= count) {
        return memcpy(to, from, count);
    }
    while (count > 0) {
        count--;
        target[count] = source[count];
    }
    return to;
}

void *memset(void *to, int value, size_t count)
{
    uint8_t *target = to;

    for (size_t i = 0; i < count; i++) {
        target[i] = (uint8_t)value;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t count)
{
    const uint8_t *x = a, *y = b;

    for (size_t i = 0; i < count; i++) {
        if (x[i] != y[i]) {
            return x[i] < y[i] ? -1 : 1;
        }
    }
    return 0;
}

size_t strlen(const char *text)
{
    size_t length = 0;

    while (text[length] != 0) {
        length++;
    }
    return length;
}
