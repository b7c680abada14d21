#ifdef WITH_MLPERF

#include "command.h"

#include "mlperf.h"

enum { LINE_BYTES = 80 };

/* What the bytes since the last 0x00 or '%' are. */
typedef enum { NOTHING, HELD, COMMAND, FRAME } state_t;

static struct {
    state_t state;
    uint8_t held; /* the first byte, while the second is awaited */
    uint8_t length;
    char line[LINE_BYTES + 1]; /* of one too long, nothing is obeyed */
} command;

const char *command_word(char **rest)
{
    char *start = *rest, *end;

    while (*start == ' ' || *start == '\r' || *start == '\n' || *start == '\t') {
        start++;
    }
    end = start;
    while (*end != 0 && *end != ' ') {
        end++;
    }
    *rest = *end == 0 ? end : end + 1;
    *end = 0;
    return start;
}

uint32_t command_number(const char *said, uint32_t otherwise)
{
    uint32_t value = 0;

    if (*said == 0) {
        return otherwise;
    }
    for (; *said >= '0' && *said <= '9' && value < 100000000; said++) {
        value = value * 10 + (uint32_t)(*said - '0');
    }
    return *said == 0 ? value : UINT32_MAX;
}

int8_t command_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return (int8_t)(c - '0');
    }
    c = (char)(c | 0x20);
    return (int8_t)(c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1);
}

static uint8_t is_printable(uint8_t byte)
{
    return (byte >= ' ' && byte <= '~') || byte == '\r' || byte == '\n';
}

/* One more byte of a command; its '%' ends it. */
static void add(uint8_t byte)
{
    static char too_long[] = "(too-long)";

    if (byte != '%') {
        command.line[command.length] = (char)byte;
        command.length = (uint8_t)(command.length + (command.length < LINE_BYTES));
        return;
    }
    command.line[command.length] = 0;
    mlperf_obey(command.length < LINE_BYTES ? command.line : too_long);
    command.length = 0;
    command.state = NOTHING;
}

/* Bytes that are no command go on as a frame, or as a piece of one that is broken. */
static size_t pass_on(uint8_t first, uint8_t byte, uint8_t frame[2])
{
    mlperf_forget();
    command.length = 0;
    command.state = byte == 0 ? NOTHING : FRAME;
    frame[0] = first;
    frame[1] = byte;
    return 2;
}

/* The second byte says what the block is. */
static size_t decide(uint8_t byte, uint8_t frame[2])
{
    if (!is_printable(command.held) || !is_printable(byte)) {
        return pass_on(command.held, byte, frame);
    }
    command.state = COMMAND;
    add(command.held);
    if (command.state == COMMAND) {
        add(byte);
    } else { /* it was a '%' alone */
        command.held = byte;
        command.state = HELD;
    }
    return 0;
}

size_t command_take(uint8_t byte, uint8_t frame[2])
{
    frame[0] = byte;
    switch (command.state) {
    case NOTHING:
        command.held = byte;
        command.state = byte == 0 ? NOTHING : HELD;
        return byte == 0;
    case HELD:
        return decide(byte, frame);
    case COMMAND:
        if (!is_printable(byte)) {
            return pass_on(1, byte, frame);
        }
        add(byte);
        return 0;
    case FRAME:
        command.state = byte == 0 ? NOTHING : FRAME;
        return 1;
    }
    return 0;
}

#endif
