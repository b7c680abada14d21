/* Around each step of a generated model: nothing more, or in firmware WITH_LAYERS a look at what the step wrote. */
#ifndef NN_STEP_H
#define NN_STEP_H

#include <stdint.h>

/* Tensors of different types follow one another in the same bytes: no access may move from one step into another. */
#define NN_STEP_ENDS() __asm__ volatile("" ::: "memory")

#ifdef WITH_LAYERS
/* Called behind each step when it is not null; firmware/runtimes/compiled/ has it. */
extern void (*nn_after_step)(const void *output, uint32_t bytes);

__attribute__((noinline, unused)) static void nn_step_shown(const void *output, uint32_t bytes)
{
    if (nn_after_step) {
        nn_after_step(output, bytes);
    }
}

#define NN_STEP(call, output, bytes)                                                                                   \
    do {                                                                                                               \
        call;                                                                                                          \
        NN_STEP_ENDS();                                                                                                \
        nn_step_shown(output, bytes);                                                                                  \
    } while (0)
#else
#define NN_STEP(call, output, bytes)                                                                                   \
    do {                                                                                                               \
        call;                                                                                                          \
        NN_STEP_ENDS();                                                                                                \
    } while (0)
#endif

/* A step of what a kernel runs itself: LAYERS sees the kernel as one. */
#define NN_PART(call)                                                                                                  \
    do {                                                                                                               \
        call;                                                                                                          \
        NN_STEP_ENDS();                                                                                                \
    } while (0)

#endif
