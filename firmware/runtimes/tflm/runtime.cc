/* The tflm runtime: TensorFlow Lite Micro's interpreter runs the model's flatbuffer. */
#include "runtime.h"

#include <csetjmp>
#include <cstdint>
#include <cstring>
#include <new>

#include "model.h"
#include "model_data.h"
#include "profiler.h"
#include "resolver.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_log.h"
#include "tensorflow/lite/schema/schema_generated.h"
#include "words.h"

static_assert(MODEL_ARENA_BYTES <= BOARD_ARENA_BYTES, MODEL_NAME ": the arena does not fit this board");

namespace
{

/* With what TFLite Micro shows only to those who derive from it. */
class Interpreter : public tflite::MicroInterpreter
{
  public:
    using tflite::MicroInterpreter::context;
    using tflite::MicroInterpreter::MicroInterpreter;
};

alignas(16) uint8_t arena[MODEL_ARENA_BYTES] ARENA_PLACE;
alignas(Interpreter) uint8_t interpreter_place[sizeof(Interpreter)];
alignas(model_resolver_t) uint8_t resolver_place[sizeof(model_resolver_t)];

Interpreter *interpreter;
const char *stopped; /* a fault after which TFLite Micro cannot go on */
jmp_buf halt;
bool may_halt;

const runtime_model_t facts = {
    MODEL_NAME,
    MODEL_ID,
    MODEL_INPUT_BYTES,
    MODEL_OUTPUT_BYTES,
    MODEL_ARENA_BYTES,
    MODEL_WEIGHTS_BYTES,
    MODEL_OPERATORS,
    MODEL_KERNEL_VERSION,
    {MODEL_INPUT_SCALE_BITS, MODEL_INPUT_ZERO_POINT},
    {MODEL_OUTPUT_SCALE_BITS, MODEL_OUTPUT_ZERO_POINT},
};

/* An input in a window, or an output in an answer. */
struct edge_t {
    TfLiteType type;
    size_t at, bytes;
    int32_t zero_point;
};
const edge_t inputs[] = {MODEL_INPUTS};
const edge_t outputs[] = {MODEL_OUTPUTS};

/* Whether TFLite Micro sees a tensor as the generator did: else its library was built with other options than this. */
bool is_edge(const TfLiteTensor *tensor, const edge_t &edge)
{
    return tensor != nullptr && tensor->type == edge.type && tensor->bytes == edge.bytes &&
           tensor->params.zero_point == edge.zero_point && tensor->data.data != nullptr;
}

bool edges_are_as_generated()
{
    bool as_generated = true;

    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        as_generated = as_generated && is_edge(interpreter->input(i), inputs[i]);
    }
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        as_generated = as_generated && is_edge(interpreter->output(i), outputs[i]);
    }
    return as_generated;
}

tflite::MicroProfilerInterface *profiler()
{
#ifdef WITH_LAYERS
    return layers_profiler();
#else
    return nullptr;
#endif
}

const char *start()
{
    const tflite::Model *model = tflite::GetModel(MODEL_DATA);

    if (model->version() != TFLITE_SCHEMA_VERSION) {
        MicroPrintf("the model is of schema version %d, this TFLite Micro reads %d", static_cast<int>(model->version()),
                    TFLITE_SCHEMA_VERSION);
        return words_said("the model is of a schema version that this TFLite Micro does not read");
    }
    model_resolver_t *resolver = new (resolver_place) model_resolver_t;
    if (model_resolve(*resolver) != kTfLiteOk) {
        return words_said("the resolver does not take the model's operators");
    }
    interpreter = new (interpreter_place) Interpreter(model, *resolver, arena, sizeof arena, nullptr, profiler());
    if (interpreter->AllocateTensors() != kTfLiteOk) {
        return words_said("AllocateTensors failed, and this TFLite Micro was built without its words");
    }
    if (!edges_are_as_generated()) {
        return "input and output are not as generated: was the library built without TF_LITE_STATIC_MEMORY?";
    }
    return nullptr;
}

const char *run(const int8_t *input, int8_t *output, bool go_on)
{
#ifdef MODEL_RESET
    if (!go_on && interpreter->Reset() != kTfLiteOk) {
        return words_said("Reset failed, and this TFLite Micro was built without its words");
    }
#else
    (void)go_on;
#endif
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        memcpy(interpreter->input(i)->data.data, input + inputs[i].at, inputs[i].bytes);
    }
    if (interpreter->Invoke() != kTfLiteOk) {
        return words_said("Invoke failed, and this TFLite Micro was built without its words");
    }
    memset(output, 0, MODEL_OUTPUT_BYTES);
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        memcpy(output + outputs[i].at, interpreter->output(i)->data.data, outputs[i].bytes);
    }
    return nullptr;
}

/* What a failed check leaves behind cannot be run again. */
const char *halted()
{
    may_halt = false;
    stopped = words_said("TFLite Micro stopped: a check of its own failed");
    return stopped;
}

} // namespace

const TfLiteContext *runtime_context()
{
    return &interpreter->context();
}

const char *runtime_name(void)
{
    return "tflm";
}

const runtime_model_t *runtime_model(void)
{
    return &facts;
}

const char *runtime_start(void)
{
    words_clear();
    if (setjmp(halt) != 0) {
        return halted();
    }
    may_halt = true;
    stopped = start();
    may_halt = false;
    return stopped;
}

static const char *checked_run(const int8_t *input, int8_t *output, bool go_on)
{
    if (stopped != nullptr) {
        return stopped;
    }
    words_clear();
    if (setjmp(halt) != 0) {
        return halted();
    }
    may_halt = true;
    const char *fault = run(input, output, go_on);
    may_halt = false;
    return fault;
}

const char *runtime_run(const int8_t *input, int8_t *output)
{
    return checked_run(input, output, false);
}

const char *runtime_go_on(const int8_t *input, int8_t *output)
{
    return checked_run(input, output, true);
}

/* TFLite Micro's failed checks end here, as a fault instead of a silent board; a framework's own abort() goes before.
 */
extern "C" __attribute__((weak)) void abort(void)
{
    if (may_halt) {
        longjmp(halt, 1);
    }
    for (;;) {
    }
}

/* What newlib's assert() calls, which would print through its standard streams. */
extern "C" __attribute__((weak)) void __assert_func(const char *file, int line, const char *, const char *expression)
{
    MicroPrintf("%s:%d %s was not true.", file, line, expression);
    abort();
}
