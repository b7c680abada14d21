#ifdef WITH_LAYERS

#include "nn_step.h"
#include "runtime.h"

void (*nn_after_step)(const void *output, uint32_t bytes);

const char *runtime_layers(const int8_t *input, int8_t *output, runtime_after_t *after)
{
    const char *fault;

    nn_after_step = after;
    fault = runtime_run(input, output);
    nn_after_step = 0;
    return fault;
}

#endif
