/* What runs the model: implemented once per folder of firmware/runtimes/, chosen at build time. */
#ifndef RUNTIME_H
#define RUNTIME_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where the arena lies: a board's file may say so. */
#ifndef ARENA_PLACE
#define ARENA_PLACE /* as usual */
#endif

typedef struct {
    uint32_t scale_bits; /* IEEE-754 binary32 bit pattern of the scale: the core handles no floats */
    int32_t zero_point;
} runtime_quant_t;

typedef struct {
    const char *name;        /* models/<name> */
    uint8_t id[8];           /* first 8 bytes of the SHA-256 of model.tflite */
    uint32_t input_bytes;    /* int8 values of one window */
    uint32_t output_bytes;   /* int8 values of one answer */
    uint32_t arena_bytes;    /* RAM of the activations */
    uint32_t weights_bytes;  /* constants of the model in read-only memory */
    uint16_t operators;      /* steps of one inference */
    uint16_t kernel_version; /* NN_VERSION the model was generated for */
    runtime_quant_t input;
    runtime_quant_t output;
} runtime_model_t;

/* The name of this runtime: "compiled" or "tflm". */
const char *runtime_name(void);

/* Facts about the model in this firmware. */
const runtime_model_t *runtime_model(void);

/* Make ready once at start. Returns NULL, or the fault in words. */
const char *runtime_start(void);

/* One inference: input_bytes in, output_bytes out. Returns NULL, or the fault in words. A model that keeps a state is
 * reset before: a window knows nothing of those before it. */
const char *runtime_run(const int8_t *input, int8_t *output);

/* runtime_run() without the reset, so that windows follow one another. There for models that keep a state, whose
 * model.h has MODEL_RESET. */
const char *runtime_go_on(const int8_t *input, int8_t *output);

/* Called behind a step with what it wrote. */
typedef void runtime_after_t(const void *output, uint32_t bytes);

/* runtime_run(), with a call of `after` behind each step. A runtime that has it has it in layers.c or .cc. */
const char *runtime_layers(const int8_t *input, int8_t *output, runtime_after_t *after);

#ifdef __cplusplus
}
#endif

#endif
