/* A window that slides over height and width: the parameters that both convolutions begin with. */
#ifndef NN_WINDOW_H
#define NN_WINDOW_H

#include "nn_taps.h"

typedef struct {
    nn_shape_t input, output;
    nn_size_t kernel, stride, dilation, pad; /* pad: above and left of the input */
} nn_window_t;

/* The window of one output place. */
typedef struct {
    nn_taps_t rows, columns; /* those inside the input */
    int32_t corner;          /* the input's index at tap (0, 0), which may lie outside */
} nn_place_t;

static inline nn_place_t nn_place(NN_ROM nn_window_t *p, int32_t y, int32_t x)
{
    y = y * p->stride.height - p->pad.height;
    x = x * p->stride.width - p->pad.width;
    return (nn_place_t){nn_taps_inside(y, p->input.height, p->kernel.height, p->dilation.height),
                        nn_taps_inside(x, p->input.width, p->kernel.width, p->dilation.width),
                        (y * p->input.width + x) * p->input.channels};
}

#endif
