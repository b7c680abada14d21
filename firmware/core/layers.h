/* One window run step by step: what each step wrote, and in how many ticks. For firmware built WITH_LAYERS. */
#ifndef LAYERS_H
#define LAYERS_H

#include <stdint.h>

#include "model.h"

/* The longest body of a frame: TENSOR has 10 bytes behind the window. */
#ifdef WITH_LAYERS
enum { LONGEST_BODY_BYTES = MODEL_INPUT_BYTES + 10 };
#else
enum { LONGEST_BODY_BYTES = MODEL_INPUT_BYTES };
#endif

/* Answer LAYERS, whose body is a window: ticks of each step, CRC-32 of its output. `output` is room for the model's. */
void layers_answer(uint16_t seq, const uint8_t *body, int8_t *output);

/* Answer TENSOR, whose body is a window and says which bytes of which step's output are wanted, and when. */
void layers_answer_tensor(uint16_t seq, const uint8_t *body, int8_t *output);

#endif
