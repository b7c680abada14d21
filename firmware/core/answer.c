#include "answer.h"

#include <string.h>

#include "port.h"

static wire_out_t answer;

wire_out_t *answer_begin(uint8_t type, uint16_t seq)
{
    wire_out_begin(&answer, port_write);
    wire_out_u8(&answer, type);
    wire_out_u16(&answer, seq);
    return &answer;
}

void answer_end(void)
{
    wire_out_end(&answer);
}

void answer_break_off(void)
{
    static const uint8_t end = 0;

    port_write(&end, 1);
}

void answer_error(uint16_t seq, error_kind_t kind, error_code_t code, const char *text)
{
    answer_begin(ANSWER_ERROR, seq);
    wire_out_u8(&answer, (uint8_t)kind);
    wire_out_u8(&answer, (uint8_t)code);
    wire_out_put(&answer, text, strlen(text));
    answer_end();
}
