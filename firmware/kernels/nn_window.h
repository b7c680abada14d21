/* A window that slides over height and width: the parameters that both convolutions begin with. */
#ifndef NN_WINDOW_H
#define NN_WINDOW_H

#include "nn_taps.h"

typedef struct {
    nn_shape_t input, output;
    nn_size_t kernel, stride, dilation, pad; /* pad: above and left of the input */
} nn_window_t;

#endif
