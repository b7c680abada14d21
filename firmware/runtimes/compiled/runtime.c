/* The compiled runtime: the generated model calls its kernels directly. */
#include "runtime.h"

#include "model.h"

/* An arena of no bytes is legal for a model, but not for C. */
static _Alignas(16) uint8_t arena[MODEL_ARENA_BYTES > 0 ? MODEL_ARENA_BYTES : 1] ARENA_PLACE;

static const runtime_model_t model = {
    .name = MODEL_NAME,
    .id = MODEL_ID,
    .input_bytes = MODEL_INPUT_BYTES,
    .output_bytes = MODEL_OUTPUT_BYTES,
    .arena_bytes = MODEL_ARENA_BYTES,
    .weights_bytes = MODEL_WEIGHTS_BYTES,
    .operators = MODEL_OPERATORS,
    .kernel_version = MODEL_KERNEL_VERSION,
    .input = {MODEL_INPUT_SCALE_BITS, MODEL_INPUT_ZERO_POINT},
    .output = {MODEL_OUTPUT_SCALE_BITS, MODEL_OUTPUT_ZERO_POINT},
};

const char *runtime_name(void)
{
    return "compiled";
}

const runtime_model_t *runtime_model(void)
{
    return &model;
}

const char *runtime_start(void)
{
#ifdef MODEL_RESET
    MODEL_RESET(arena);
#endif
    return 0;
}

const char *runtime_run(const int8_t *input, int8_t *output)
{
#ifdef MODEL_RESET
    MODEL_RESET(arena);
#endif
    MODEL_RUN(input, output, arena);
    return 0;
}

#ifdef MODEL_RESET
const char *runtime_go_on(const int8_t *input, int8_t *output)
{
    MODEL_RUN(input, output, arena);
    return 0;
}
#endif
