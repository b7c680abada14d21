#ifdef WITH_LAYERS

#pragma GCC optimize("Os") /* nothing here is in a hurry */

#include "layers.h"

#include <stddef.h>

#include "answer.h"
#include "crc32.h"
#include "port.h"
#include "runtime.h"

enum { INPUT = 0xFFFF /* in place of a step: the window itself, before the first step */ };

/* The answer under way; the runtime's call of `after` has no other way to know of it. */
static struct {
    wire_out_t *out;
    uint32_t since; /* when the step under way began */
    uint16_t step;
    uint16_t maker, when; /* wanted: what step `maker` wrote, as it stands behind step `when` */
    uint32_t offset;
    uint16_t count;
    const uint8_t *made; /* what step `maker` wrote */
    uint32_t made_bytes;
    uint8_t found;
} layers;

static void begin(uint8_t type, uint16_t seq, const uint8_t *window)
{
    layers.out = answer_begin(type, seq);
    wire_out_u32(layers.out, crc32(0, window, MODEL_INPUT_BYTES));
}

static void end(uint16_t seq, const char *fault, uint8_t found)
{
    if (fault == NULL && found) {
        answer_end();
        return;
    }
    answer_break_off();
    if (fault != NULL) {
        answer_error(seq, FAULT, CODE_RUNTIME, fault);
    } else {
        answer_error(seq, REFUSAL, CODE_STEP, "there is no such step");
    }
}

static void put_record(const void *output, uint32_t bytes)
{
    wire_out_u32(layers.out, port_ticks() - layers.since);
    wire_out_u32(layers.out, crc32(0, output, (size_t)bytes));
    layers.since = port_ticks();
}

void layers_answer(uint16_t seq, const uint8_t *body, int8_t *output)
{
    begin(ANSWER_LAYERS, seq, body);
    layers.since = port_ticks();
    end(seq, runtime_layers((const int8_t *)body, output, put_record), 1);
}

static void put_bytes(void)
{
    const uint32_t offset = layers.offset < layers.made_bytes ? layers.offset : layers.made_bytes;
    const uint32_t left = layers.made_bytes - offset;

    wire_out_u32(layers.out, layers.made_bytes);
    wire_out_put(layers.out, layers.made + offset, (size_t)(left < layers.count ? left : layers.count));
    layers.found = 1;
}

static void look_at(const void *output, uint32_t bytes)
{
    if (layers.step == layers.maker) {
        layers.made = output;
        layers.made_bytes = bytes;
    }
    if (layers.step == layers.when && layers.made != NULL) {
        put_bytes();
    }
    layers.step++;
}

void layers_answer_tensor(uint16_t seq, const uint8_t *body, int8_t *output)
{
    const uint8_t *ask = body + MODEL_INPUT_BYTES;
    const char *fault;

    layers.maker = wire_u16(ask);
    layers.when = wire_u16(ask + 2);
    layers.offset = wire_u32(ask + 4);
    layers.count = wire_u16(ask + 8);
    layers.made = layers.maker == INPUT ? body : NULL;
    layers.made_bytes = MODEL_INPUT_BYTES;
    layers.step = 0;
    layers.found = 0;
    begin(ANSWER_TENSOR, seq, body);
    if (layers.when == INPUT && layers.made != NULL) {
        put_bytes();
    }
    fault = runtime_layers((const int8_t *)body, output, look_at);
    end(seq, fault, layers.found);
}

#endif
