#include "session.h"

#include <string.h>

#include "answer.h"
#include "baud.h"
#include "command.h"
#include "crc32.h"
#include "layers.h"
#include "mlperf.h"
#include "model.h"
#include "port.h"
#include "runtime.h"
#include "stack.h"
#include "wire.h"

#ifndef SESSION_ANSWERS
#define SESSION_ANSWERS 4 /* answers remembered, and so the most credits given */
#endif

enum { PROTOCOL_VERSION = 1, UNKNOWN_SEQ = 0xFFFF, HEAD_BYTES = 3 /* type and seq */ };
enum { HELLO = 0x01, RUN = 0x02, LAYERS = 0x03, TENSOR = 0x04, STACK = 0x05, BAUD = 0x06, STREAM = 0x07 };
enum { CLOCK_PATIENCE = 1000 /* readings of a clock before it is said to stand */ };

typedef struct {
    _Alignas(4) int8_t output[MODEL_OUTPUT_BYTES];
    uint32_t input_crc;
    uint32_t ticks;
    uint16_t seq;
    uint8_t used;
} answer_t;

typedef const char *run_t(const int8_t *input, int8_t *output);

static struct {
    _Alignas(4) uint8_t buffer[1 + HEAD_BYTES + LONGEST_BODY_BYTES + WIRE_CRC_BYTES]; /* 1: the window lies at 4 */
    answer_t answers[SESSION_ANSWERS];
    uint8_t credits;
    uint8_t next; /* the answer to forget first */
    uint8_t greeted;
    wire_in_t in;
    const char *fault;
} session;

static void send_result(const answer_t *answer)
{
    wire_out_t *out = answer_begin(ANSWER_RESULT, answer->seq);

    wire_out_u32(out, answer->ticks);
    wire_out_u32(out, answer->input_crc);
    wire_out_put(out, answer->output, MODEL_OUTPUT_BYTES);
    answer_end();
}

static void put_string(wire_out_t *out, const char *text)
{
    size_t length = strlen(text);

    length = length < 255 ? length : 255;
    wire_out_u8(out, (uint8_t)length);
    wire_out_put(out, text, length);
}

static void put_quant(wire_out_t *out, runtime_quant_t quant)
{
    wire_out_u32(out, quant.scale_bits);
    wire_out_u32(out, (uint32_t)quant.zero_point);
}

static void send_info(uint16_t seq)
{
    const runtime_model_t *model = runtime_model();
    const port_facts_t port = port_facts();
    wire_out_t *out = answer_begin(ANSWER_INFO, seq);

    wire_out_u8(out, PROTOCOL_VERSION);
    wire_out_u8(out, port.reset_cause);
    wire_out_u8(out, port.clock_kind);
    wire_out_u8(out, session.credits);
    wire_out_u32(out, port.clock_hz);
    wire_out_u32(out, model->input_bytes);
    wire_out_u32(out, model->output_bytes);
    wire_out_u32(out, model->arena_bytes);
    wire_out_u32(out, model->weights_bytes);
    wire_out_u16(out, model->operators);
    wire_out_u16(out, model->kernel_version);
    put_quant(out, model->input);
    put_quant(out, model->output);
    wire_out_put(out, model->id, sizeof model->id);
    put_string(out, BOARD_NAME);
    put_string(out, model->name);
    put_string(out, runtime_name());
    put_string(out, KERNEL_BUILD);
    answer_end();
}

static void hello(uint16_t seq, const uint8_t *body, size_t count)
{
    if (count != 1) {
        answer_error(seq, REFUSAL, CODE_LENGTH, "HELLO has a body of 1 byte");
    } else if (body[0] != PROTOCOL_VERSION) {
        answer_error(seq, REFUSAL, CODE_PROTOCOL, "this device speaks protocol 1");
    } else {
        for (uint8_t i = 0; i < SESSION_ANSWERS; i++) {
            session.answers[i].used = 0;
        }
        session.greeted = 1;
        send_info(seq);
    }
}

static const answer_t *remembered(uint16_t seq, uint32_t input_crc)
{
    for (uint8_t i = 0; i < session.credits; i++) {
        const answer_t *answer = &session.answers[i];

        if (answer->used && answer->seq == seq && answer->input_crc == input_crc) {
            return answer;
        }
    }
    return NULL;
}

/* Ticks since `start`; less than one counts as one, and 0 means that the clock stands. */
static uint32_t ticks_since(uint32_t start)
{
    uint32_t ticks = port_ticks() - start;

    for (uint16_t i = 0; ticks == 0 && i < CLOCK_PATIENCE; i++) {
        ticks = port_ticks() != start;
    }
    return ticks;
}

static void infer(uint16_t seq, uint32_t input_crc, const int8_t *input, run_t *runs)
{
    answer_t *answer = &session.answers[session.next];
    const char *fault;
    uint32_t start;

    answer->used = 0;
    start = port_ticks();
    fault = runs(input, answer->output);
    answer->ticks = ticks_since(start);
    if (fault != NULL) {
        answer_error(seq, FAULT, CODE_RUNTIME, fault);
    } else if (answer->ticks == 0) {
        answer_error(seq, FAULT, CODE_CLOCK, "the clock stands still");
    } else {
        answer->seq = seq;
        answer->input_crc = input_crc;
        answer->used = 1;
        session.next = (uint8_t)((session.next + 1) % session.credits);
        send_result(answer);
    }
}

/* Whether a frame with a window can be served; answers it when not. */
static uint8_t may_run(uint16_t seq, size_t count, size_t wanted, const char *refusal)
{
    if (session.fault != NULL) {
        answer_error(seq, FAULT, CODE_RUNTIME, session.fault);
    } else if (!session.greeted) {
        answer_error(seq, REFUSAL, CODE_SESSION, "HELLO comes first");
    } else if (count != wanted) {
        answer_error(seq, REFUSAL, CODE_LENGTH, refusal);
    } else {
        return 1;
    }
    return 0;
}

static void run(uint16_t seq, const uint8_t *body, size_t count, run_t *runs)
{
    uint32_t input_crc;
    const answer_t *answer;

    if (!may_run(seq, count, MODEL_INPUT_BYTES, "RUN and STREAM have a body of exactly one window")) {
        return;
    }
    input_crc = crc32(0, body, count);
    answer = remembered(seq, input_crc);
    if (answer != NULL) {
        send_result(answer);
    } else {
        infer(seq, input_crc, (const int8_t *)body, runs);
    }
}

int8_t *session_spare_output(void)
{
    session.answers[session.next].used = 0;
    return session.answers[session.next].output;
}

#ifdef WITH_LAYERS
static void show_stack(uint16_t seq)
{
    const stack_use_t stack = stack_look();
    wire_out_t *out = answer_begin(ANSWER_STACK, seq);

    wire_out_u32(out, stack.size);
    wire_out_u32(out, stack.used);
    answer_end();
}
#endif

static void serve(const uint8_t *frame, size_t count)
{
    const uint16_t seq = count < HEAD_BYTES ? (uint16_t)UNKNOWN_SEQ : wire_u16(frame + 1);

    if (count < HEAD_BYTES) {
        answer_error(seq, REFUSAL, CODE_LENGTH, "a frame has a type and a seq");
    } else if (frame[0] == HELLO) {
        hello(seq, frame + HEAD_BYTES, count - HEAD_BYTES);
    } else if (frame[0] == RUN) {
        run(seq, frame + HEAD_BYTES, count - HEAD_BYTES, runtime_run);
#ifdef MODEL_RESET
    } else if (frame[0] == STREAM) {
        run(seq, frame + HEAD_BYTES, count - HEAD_BYTES, runtime_go_on);
#endif
#ifdef WITH_LAYERS
    } else if (frame[0] == LAYERS) {
        if (may_run(seq, count - HEAD_BYTES, MODEL_INPUT_BYTES, "LAYERS has a body of exactly one window")) {
            layers_answer(seq, frame + HEAD_BYTES, session_spare_output());
        }
    } else if (frame[0] == TENSOR) {
        if (may_run(seq, count - HEAD_BYTES, LONGEST_BODY_BYTES, "TENSOR has a body of one window and 10 bytes")) {
            layers_answer_tensor(seq, frame + HEAD_BYTES, session_spare_output());
        }
    } else if (frame[0] == STACK) {
        show_stack(seq);
#endif
    } else if (frame[0] != BAUD || !baud_answer(seq, frame + HEAD_BYTES, count - HEAD_BYTES)) {
        answer_error(seq, REFUSAL, CODE_TYPE, "unknown type of frame");
    }
}

void session_start(const char *fault)
{
    const runtime_model_t *model = runtime_model();
    const uint8_t credits = port_facts().credits;

    memset(&session, 0, sizeof session);
    session.credits = credits == 0 ? 1 : credits < SESSION_ANSWERS ? credits : SESSION_ANSWERS;
    session.fault = fault;
    if (fault == NULL && (model->input_bytes != MODEL_INPUT_BYTES || model->output_bytes != MODEL_OUTPUT_BYTES)) {
        session.fault = "model.h and the runtime's model differ in size";
    }
    wire_in_start(&session.in, session.buffer + 1, sizeof session.buffer - 1);
#ifdef WITH_MLPERF
    mlperf_start((int8_t *)session.buffer + 1 + HEAD_BYTES, session.fault);
#endif
}

static void take(uint8_t byte)
{
    switch (wire_in_take(&session.in, byte)) {
    case WIRE_FRAME:
        baud_good();
        serve(session.in.bytes, session.in.count);
        break;
    case WIRE_BROKEN:
        answer_error(UNKNOWN_SEQ, REFUSAL, CODE_CRC, "the CRC does not match");
        baud_broken();
        break;
    case WIRE_TOO_LONG:
        answer_error(UNKNOWN_SEQ, REFUSAL, CODE_LENGTH, "the frame is longer than this device takes");
        baud_broken();
        break;
    case WIRE_MORE:
        break;
    }
}

void session_take(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
#ifdef WITH_MLPERF
        uint8_t frame[2];
        const size_t passed = command_take(bytes[i], frame);

        for (size_t j = 0; j < passed; j++) {
            take(frame[j]);
        }
#else
        take(bytes[i]);
#endif
    }
}
