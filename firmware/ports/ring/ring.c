#include "ring.h"

static struct {
    volatile uint8_t bytes[RING_BYTES + 1]; /* one is always free: else full would look like empty */
    volatile uint32_t first, end;
    volatile uint32_t spent;
} ring;

static uint32_t after(uint32_t at)
{
    return at < RING_BYTES ? at + 1 : 0;
}

void ring_put(uint8_t byte)
{
    const uint32_t end = ring.end;

    if (after(end) != ring.first) {
        ring.bytes[end] = byte;
        ring.end = after(end);
    }
}

size_t ring_take(uint8_t *bytes, size_t capacity)
{
    uint32_t first = ring.first;
    size_t count = 0;

    while (count < capacity && first != ring.end) {
        bytes[count++] = ring.bytes[first];
        first = after(first);
    }
    ring.first = first;
    return count;
}

int ring_is_empty(void)
{
    return ring.first == ring.end;
}

void ring_spent(uint32_t ticks)
{
    ring.spent += ticks;
}

uint32_t ring_ticks(uint32_t (*clock)(void))
{
    uint32_t spent, ticks;

    do {
        spent = ring.spent;
        ticks = clock();
    } while (spent != ring.spent);
    return ticks - spent;
}
