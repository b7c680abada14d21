/* SVDF: dense layers of rank-one filters, each a weighting of the inputs and then of its last values in time. */
#ifndef NN_SVDF_S8_H
#define NN_SVDF_S8_H

#include "nn_dot.h"
#include "nn_fixed.h"

typedef struct {
    int16_t inputs, units, rank; /* a unit is the sum of `rank` filters */
    int16_t memory;              /* values that a filter remembers */
    int16_t input_offset;        /* minus the input's zero point: [-127, 128] */
    int16_t output_offset;       /* [-128, 127] */
    int16_t state_zero_point;
    int8_t wide;        /* 1: memory and weights in time are int16_t, 0: int8_t */
    int32_t multiplier; /* of a filter's sum over the inputs, [0, 2^31) */
    int8_t shift;       /* [-31, 30] */
    int32_t output_multiplier;
    int8_t output_shift;
    NN_ROM int8_t *weights; /* [units * rank][inputs] */
    NN_ROM void *time;      /* [units * rank][memory], the oldest first */
    NN_ROM int32_t *bias;   /* [units] */
} nn_svdf_t;

/* Remembers `newest` in place of the oldest and weighs all; sums wrap. */
static inline uint32_t nn_svdf_filter_s8(NN_ROM nn_svdf_t *p, NN_ROM int8_t *time, int8_t *memory, int32_t newest)
{
    uint32_t sum = 0;
    newest = nn_min(nn_max(newest, INT8_MIN), INT8_MAX) + p->state_zero_point;
    for (int16_t i = 0; i < p->memory; i++) {
        memory[i] = i + 1 < p->memory ? memory[i + 1] : (int8_t)newest;
        sum += (uint32_t)((int32_t)time[i] * (memory[i] - p->state_zero_point));
    }
    return sum;
}

static inline uint32_t nn_svdf_filter_s16(NN_ROM nn_svdf_t *p, NN_ROM int16_t *time, int16_t *memory, int32_t newest)
{
    uint32_t sum = 0;
    newest = nn_min(nn_max(newest, INT16_MIN), INT16_MAX) + p->state_zero_point;
    for (int16_t i = 0; i < p->memory; i++) {
        memory[i] = i + 1 < p->memory ? memory[i + 1] : (int16_t)newest;
        sum += (uint32_t)(time[i] * ((int32_t)memory[i] - p->state_zero_point));
    }
    return sum;
}

/* `state` is memory[units * rank][memory] of int8_t or int16_t. */
static void nn_svdf_s8(NN_ROM nn_svdf_t *p, const int8_t *input, int8_t *output, void *state)
{
    NN_ROM int8_t *weights = p->weights;
    int32_t at = 0;
    for (int16_t unit = 0; unit < p->units; unit++) {
        uint32_t sum = (uint32_t)p->bias[unit];
        for (int16_t i = 0; i < p->rank; i++) {
            int32_t dot = nn_dot_s8(input, weights, p->inputs, p->input_offset);
            int32_t newest = nn_requantize(dot, p->multiplier, p->shift);
            if (p->wide) {
                sum += nn_svdf_filter_s16(p, (NN_ROM int16_t *)p->time + at, (int16_t *)state + at, newest);
            } else {
                sum += nn_svdf_filter_s8(p, (NN_ROM int8_t *)p->time + at, (int8_t *)state + at, newest);
            }
            weights += p->inputs;
            at += p->memory;
        }
        int32_t scaled = nn_requantize((int32_t)sum, p->output_multiplier, p->output_shift) + p->output_offset;
        output[unit] = nn_clamp_s8(scaled, INT8_MIN, INT8_MAX);
    }
}

#endif
