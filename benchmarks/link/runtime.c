/* A runtime that takes INFERENCE_US microseconds and answers the complement of the window's first values. */
#define _XOPEN_SOURCE 700

#include "runtime.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "model.h"

static const runtime_model_t model = {
    .name = "link",
    .id = {0x11, 0x11, 1, 2, 3, 4, 5, 6},
    .input_bytes = MODEL_INPUT_BYTES,
    .output_bytes = MODEL_OUTPUT_BYTES,
    .arena_bytes = MODEL_ARENA_BYTES,
    .operators = 1,
    .kernel_version = 1,
    .input = {.scale_bits = 0x3F000000, .zero_point = 0}, /* 0.5 */
    .output = {.scale_bits = 0x3F000000, .zero_point = 0},
};

static long inference_ns;

const char *runtime_name(void)
{
    return "link";
}

const runtime_model_t *runtime_model(void)
{
    return &model;
}

const char *runtime_start(void)
{
    const char *text = getenv("INFERENCE_US");

    prctl(PR_SET_TIMERSLACK, 1UL); /* else every sleep ends 50 microseconds late */
    inference_ns = text == NULL ? 0 : 1000 * strtol(text, NULL, 10);
    return NULL;
}

static void spend(long nanoseconds)
{
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += nanoseconds;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) != 0) {
    }
}

const char *runtime_run(const int8_t *input, int8_t *output)
{
    if (inference_ns > 0) {
        spend(inference_ns);
    }
    for (int i = 0; i < MODEL_OUTPUT_BYTES; i++) {
        output[i] = (int8_t)~input[i];
    }
    return NULL;
}
