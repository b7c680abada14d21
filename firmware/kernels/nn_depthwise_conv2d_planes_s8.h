/* DEPTHWISE_CONV_2D with filters in planes: one channel at a time is copied out, so that a channel of the output may
 * take the place of the input's. */
#ifndef NN_DEPTHWISE_CONV2D_PLANES_S8_H
#define NN_DEPTHWISE_CONV2D_PLANES_S8_H

#include "nn_plane.h"

typedef struct {
    nn_size_t input, output, kernel, stride, pad; /* pad: above and left of the input */
    nn_size_t plane;                              /* what the windows reach over; its width is even */
    int16_t turned;                               /* 1: heights and widths here are the image's widths and heights */
    int16_t channels, multiples;                  /* of the input; the depth multiplier */
    int16_t zero;                                 /* the input's zero point, which padding is */
    int16_t output_offset;                        /* [-128, 127] */
    int8_t min, max;                              /* the fused activation */
    NN_ROM int8_t *weights;                       /* [output channels][kernel height][kernel width] */
    NN_ROM int32_t *rescale;                      /* [output channels][2] */
} nn_depthwise_conv2d_planes_t;

static inline nn_channel_t nn_channel_of(nn_size_t size, int32_t channels, int8_t turned)
{
    return turned ? (nn_channel_t){size, size.height * channels, channels}
                  : (nn_channel_t){size, channels, size.width * channels};
}

/* scratch: int16 [plane height][plane width] */
static void nn_depthwise_conv2d_planes_s8(NN_ROM nn_depthwise_conv2d_planes_t *p, const int8_t *input, int8_t *output,
                                          void *scratch)
{
    int16_t *plane = scratch, *inside = plane + p->pad.height * p->plane.width + p->pad.width;
    const nn_plane_t at = {p->kernel, p->stride, p->plane.width};
    int32_t channels = (int32_t)p->channels * p->multiples, taps = (int32_t)p->kernel.height * p->kernel.width;
    int32_t values = (int32_t)p->plane.height * p->plane.width, zero = p->zero;
    nn_channel_t from = nn_channel_of(p->input, p->channels, p->turned == 1);
    const nn_channel_t to = nn_channel_of(p->output, channels, p->turned == 1);
    from.size.height = (int16_t)nn_min(from.size.height, p->plane.height - p->pad.height);
    from.size.width = (int16_t)nn_min(from.size.width, p->plane.width - p->pad.width);
    for (int32_t i = 0; i < values; i++) {
        plane[i] = (int16_t)zero;
    }
    NN_ROM int8_t *weights = p->weights;
    NN_ROM int32_t *rescale = p->rescale;
    for (int32_t channel = 0; channel < p->channels; channel++) {
        nn_plane_copy(input + channel, &from, inside, p->plane.width);
        for (int32_t i = 0; i < p->multiples; i++, weights += taps, rescale += 2) {
            nn_plane_filter(&at, plane, weights, nn_scale_of(rescale), 2 * p->output_offset + 1,
                            output + channel * p->multiples + i, &to);
        }
    }
    nn_limit(output, p->output.height * p->output.width * channels, p->min, p->max);
}

#endif
