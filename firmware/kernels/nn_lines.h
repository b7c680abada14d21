/* The lines of the input that a row of windows needs, as unsigned bytes x + 128 with the padding around them: what lies
 * outside the input has become its zero point, and no window has a border any more. */
#ifndef NN_LINES_H
#define NN_LINES_H

#include "nn_unsigned.h"
#include "nn_window.h"

typedef struct {
    const int8_t *input;
    uint8_t *bytes;        /* [count][length] */
    int32_t count, length; /* lines that one row of windows reaches over; bytes of one */
    int32_t first;         /* the topmost line of the windows, counted from the padding's first */
    int32_t next;          /* the first line that was not yet brought here */
    uint8_t zero;
} nn_lines_t;

/* bytes: [(kernel height - 1) * dilation + 1][(output width - 1) * stride + (kernel width - 1) * dilation +
 * 1][channels] */
static inline nn_lines_t nn_lines_start(NN_ROM nn_window_t *p, const int8_t *input, uint8_t zero, void *bytes)
{
    int32_t count = (p->kernel.height - 1) * p->dilation.height + 1;
    int32_t width = (p->output.width - 1) * p->stride.width + (p->kernel.width - 1) * p->dilation.width + 1;
    return (nn_lines_t){input, bytes, count, width * p->input.channels, 0, 0, zero};
}

static inline void nn_line_copy(uint8_t *line, const int8_t *values, int32_t count)
{
#ifndef __AVR__
    if ((((uintptr_t)line | (uintptr_t)values) & 3) == 0) {
        for (; count >= 4; count -= 4, line += 4, values += 4) {
            uint32_t four;
            __builtin_memcpy(&four, __builtin_assume_aligned(values, 4), 4);
            four ^= 0x80808080u;
            __builtin_memcpy(__builtin_assume_aligned(line, 4), &four, 4);
        }
    }
#endif
    for (; count > 0; count--) {
        *line++ = nn_unsigned(*values++);
    }
}

static inline void nn_line_fill(uint8_t *line, uint8_t value, int32_t count)
{
    for (; count > 0; count--) {
        *line++ = value;
    }
}

/* One line: padding, the input's line, padding. */
static inline void nn_lines_bring(NN_ROM nn_window_t *p, nn_lines_t *lines, int32_t number)
{
    uint8_t *line = lines->bytes + number % lines->count * lines->length;
    int32_t y = number - p->pad.height, before = p->pad.width * p->input.channels;
    int32_t inside = nn_min(p->input.width * p->input.channels, lines->length - before);
    if (y < 0 || y >= p->input.height) {
        nn_line_fill(line, lines->zero, lines->length);
        return;
    }
    nn_line_fill(line, lines->zero, before);
    nn_line_copy(line + before, lines->input + y * p->input.width * p->input.channels, inside);
    nn_line_fill(line + before + inside, lines->zero, lines->length - before - inside);
}

/* Brings what row y of the output needs, and is not there from the row before. */
static inline void nn_lines_for(NN_ROM nn_window_t *p, nn_lines_t *lines, int32_t y)
{
    lines->first = y * p->stride.height;
    lines->next = nn_max(lines->next, lines->first);
    for (; lines->next < lines->first + lines->count; lines->next++) {
        nn_lines_bring(p, lines, lines->next);
    }
}

/* Where the top line of the windows lies. The next lies behind it, or at `bytes` when that is nn_lines_end(). */
static inline const uint8_t *nn_lines_top(const nn_lines_t *lines)
{
    return lines->bytes + lines->first % lines->count * lines->length;
}

static inline const uint8_t *nn_lines_end(const nn_lines_t *lines)
{
    return lines->bytes + lines->count * lines->length;
}

#endif
