/* bakeNN's library behind this project's session, so that the same harness counts its instructions. */
#include "runtime.h"

#include "bknn_rival.h"
#include "model.h"

static _Alignas(BKNN_RIVAL_ARENA_ALIGNMENT) uint8_t arena[BKNN_RIVAL_ARENA_SIZE];
static const runtime_model_t model = {
    .name = "rival",
    .input_bytes = MODEL_INPUT_BYTES,
    .output_bytes = MODEL_OUTPUT_BYTES,
    .arena_bytes = BKNN_RIVAL_ARENA_SIZE,
    .input = {0x3f800000u, 0}, /* nobody asks for the scales here */
    .output = {0x3f800000u, 0},
};

const char *runtime_name(void)
{
    return "bakenn";
}

const runtime_model_t *runtime_model(void)
{
    return &model;
}

const char *runtime_start(void)
{
    return 0;
}

const char *runtime_run(const int8_t *input, int8_t *output)
{
    bknn_rival_infer(arena, input, output);
    return 0;
}
