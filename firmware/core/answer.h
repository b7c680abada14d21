/* The frames that a device answers with: their types, the codes of errors, and the one frame that is being sent. */
#ifndef ANSWER_H
#define ANSWER_H

#include <stdint.h>

#include "wire.h"

enum {
    ANSWER_INFO = 0x81,
    ANSWER_RESULT = 0x82,
    ANSWER_LAYERS = 0x83,
    ANSWER_TENSOR = 0x84,
    ANSWER_STACK = 0x85,
    ANSWER_BAUD = 0x86,
    ANSWER_ERROR = 0x8F
};

typedef enum { REFUSAL = 0, FAULT = 1 } error_kind_t;

typedef enum {
    CODE_CRC = 1,
    CODE_LENGTH = 2,
    CODE_TYPE = 3,
    CODE_PROTOCOL = 4,
    CODE_RUNTIME = 5,
    CODE_CLOCK = 6,
    CODE_SESSION = 7,
    CODE_STEP = 8,
    CODE_BAUD = 9
} error_code_t;

/* Begin an answer; its body is put into what is returned. */
wire_out_t *answer_begin(uint8_t type, uint16_t seq);

void answer_end(void);

/* Give up the answer that was begun: a 0x00 makes a broken frame of what has left. */
void answer_break_off(void);

void answer_error(uint16_t seq, error_kind_t kind, error_code_t code, const char *text);

#endif
