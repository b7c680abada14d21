/* Around each step of a generated model: nothing more, or in firmware WITH_LAYERS a look at what the step wrote. */
#ifndef NN_STEP_H
#define NN_STEP_H

#include <stdint.h>

#ifdef WITH_LAYERS
/* Called behind each step when it is not null; firmware/runtimes/compiled/ has it. */
extern void (*nn_after_step)(const void *output, uint32_t bytes);

#define NN_STEP(call, output, bytes)                                                                                   \
    do {                                                                                                               \
        call;                                                                                                          \
        if (nn_after_step) {                                                                                           \
            nn_after_step(output, bytes);                                                                              \
        }                                                                                                              \
    } while (0)
#else
#define NN_STEP(call, output, bytes) call
#endif

#endif
