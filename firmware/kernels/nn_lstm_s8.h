/* UNIDIRECTIONAL_SEQUENCE_LSTM: Keras LSTM, 8-bit values and weights, 16-bit cells. */
#ifndef NN_LSTM_S8_H
#define NN_LSTM_S8_H

#include "nn_dot.h"
#include "nn_fixed.h"
#include "nn_sigmoid.h"

/* The gates are in the order input, forget, cell, output. */
typedef struct {
    int16_t steps, inputs, units;
    int16_t input_offset;            /* minus the input's zero point: [-127, 128] */
    int16_t hidden_offset;           /* minus the hidden state's zero point, which is the output's: [-127, 128] */
    int16_t cell_min, cell_max;      /* where the cells are clipped */
    int8_t cell_shift;               /* cell << cell_shift is in units of 2^-12 */
    int32_t input_multiplier[4];     /* of the gates' sums over the input; to units of 2^-12 */
    int8_t input_shift[4];           /* [-31, 30] */
    int32_t recurrent_multiplier[4]; /* of their sums over the hidden state */
    int8_t recurrent_shift[4];
    int32_t product_multiplier[3]; /* of forget * cell, input * new, output * tanh(cell) */
    int8_t product_shift[3];
    NN_ROM int8_t *weights; /* [units][4][inputs + units] */
    NN_ROM int32_t *bias;   /* [units][4] */
} nn_lstm_t;

static inline int16_t nn_saturate_s16(int32_t value)
{
    return (int16_t)nn_min(nn_max(value, INT16_MIN), INT16_MAX);
}

static inline int32_t nn_lstm_product(NN_ROM nn_lstm_t *p, int8_t which, int32_t a, int32_t b)
{
    return nn_requantize(a * b, p->product_multiplier[which], p->product_shift[which]);
}

/* The four gates of a unit before sigmoid and tanh, in units of 2^-12. */
static inline void nn_lstm_gates(NN_ROM nn_lstm_t *p, int32_t unit, const int8_t *input, const int8_t *hidden,
                                 int16_t *gates)
{
    const int32_t row = (int32_t)p->inputs + p->units;
    NN_ROM int8_t *weights = p->weights + unit * 4 * row;
    NN_ROM int32_t *bias = p->bias + unit * 4;
    int32_t now[4] = {bias[0], bias[1], bias[2], bias[3]}, before[4] = {0, 0, 0, 0};

    nn_dot4_s8(input, weights, row, p->inputs, p->input_offset, now);
    nn_dot4_s8(hidden, weights + p->inputs, row, p->units, p->hidden_offset, before);
    for (uint8_t i = 0; i < 4; i++) {
        int32_t x = nn_saturate_s16(nn_requantize(now[i], p->input_multiplier[i], p->input_shift[i]));
        int32_t h = nn_saturate_s16(nn_requantize(before[i], p->recurrent_multiplier[i], p->recurrent_shift[i]));
        gates[i] = nn_saturate_s16(x + h);
    }
}

/* Steps one unit: its cell anew, and its hidden state, which is returned. */
static inline int8_t nn_lstm_unit(NN_ROM nn_lstm_t *p, const int16_t *gates, int16_t *cell)
{
    int32_t kept = nn_saturate_s16(nn_lstm_product(p, 0, nn_sigmoid_of((int32_t)3 * gates[1]), *cell));
    int32_t added =
        nn_saturate_s16(nn_lstm_product(p, 1, nn_sigmoid_of((int32_t)3 * gates[0]), nn_tanh_of((int32_t)3 * gates[2])));
    int32_t sum = nn_saturate_s16(kept + added), scaled;

    sum = nn_min(nn_max(sum, p->cell_min), p->cell_max);
    *cell = (int16_t)sum;
    if (p->cell_shift >= 0) {
        scaled = 3 * sum * ((int32_t)1 << p->cell_shift);
    } else {
        scaled = (3 * sum + ((int32_t)1 << (-p->cell_shift - 1))) >> -p->cell_shift;
    }
    return nn_clamp_s8(nn_lstm_product(p, 2, nn_tanh_of(scaled), nn_sigmoid_of((int32_t)3 * gates[3])) -
                           p->hidden_offset,
                       INT8_MIN, INT8_MAX);
}

/* `state` is int16_t cells[units], int8_t hidden[units]. */
static void nn_lstm_s8(NN_ROM nn_lstm_t *p, const int8_t *input, int8_t *output, void *state)
{
    int16_t *cells = (int16_t *)state;
    int8_t *kept = (int8_t *)(cells + p->units);
    const int8_t *hidden = kept;

    for (int16_t step = 0; step < p->steps; step++) {
        for (int16_t unit = 0; unit < p->units; unit++) {
            int16_t gates[4];
            nn_lstm_gates(p, unit, input, hidden, gates);
            output[unit] = nn_lstm_unit(p, gates, cells + unit);
        }
        hidden = output;
        input += p->inputs;
        output += p->units;
    }
    for (int16_t unit = 0; unit < p->units; unit++) {
        kept[unit] = hidden[unit];
    }
}

#endif
