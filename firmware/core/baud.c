#include "baud.h"

#include "answer.h"
#include "port.h"
#include "wire.h"

enum { BROKEN_PATIENCE = 8, BAUD_BYTES = 4 };

static struct {
    uint8_t broken; /* frames since the last good one */
    uint8_t fast;
} line;

/* What a port has that cannot change its rate. */
__attribute__((weak)) int port_takes_baud(uint32_t baud)
{
    (void)baud;
    return 0;
}

__attribute__((weak)) void port_set_baud(uint32_t baud)
{
    (void)baud;
}

int baud_answer(uint16_t seq, const uint8_t *body, size_t count)
{
    if (!port_takes_baud(0)) {
        return 0;
    }
    if (count != BAUD_BYTES) {
        answer_error(seq, REFUSAL, CODE_LENGTH, "BAUD has a body of 4 bytes");
    } else if (!port_takes_baud(wire_u32(body))) {
        answer_error(seq, REFUSAL, CODE_BAUD, "this port cannot make that rate");
    } else {
        wire_out_put(answer_begin(ANSWER_BAUD, seq), body, BAUD_BYTES);
        answer_end();
        port_set_baud(wire_u32(body));
        line.fast = wire_u32(body) != 0;
    }
    return 1;
}

void baud_good(void)
{
    line.broken = 0;
}

void baud_broken(void)
{
    line.broken++;
    if (line.fast && line.broken >= BROKEN_PATIENCE) {
        port_set_baud(0);
        line.fast = 0;
    }
}
