/* SELECT_V2: a where the condition is true, else b; all three broadcast. */
#ifndef NN_SELECT_H
#define NN_SELECT_H

#include "nn_wide.h"

typedef struct {
    int16_t shape[4];                 /* of the output */
    int16_t condition[4], a[4], b[4]; /* how far one step along each axis moves in each input; 0: broadcast */
    int8_t width;                     /* bytes of a value */
} nn_select_t;

static inline int32_t nn_select_at(NN_ROM int16_t *steps, const int16_t *place)
{
    int32_t at = 0;

    for (int8_t axis = 0; axis < 4; axis++) {
        at += (int32_t)steps[axis] * place[axis];
    }
    return at;
}

static void nn_select(NN_ROM nn_select_t *p, const int8_t *condition, const void *a, const void *b, void *output)
{
    int32_t count = (int32_t)p->shape[0] * p->shape[1] * p->shape[2] * p->shape[3];
    int16_t place[4] = {0, 0, 0, 0};

    for (int32_t i = 0; i < count; i++) {
        int32_t value = condition[nn_select_at(p->condition, place)] ? nn_get(a, nn_select_at(p->a, place), p->width)
                                                                     : nn_get(b, nn_select_at(p->b, place), p->width);
        nn_put(output, i, p->width, value);
        for (int8_t axis = 3; axis >= 0 && ++place[axis] == p->shape[axis]; axis--) {
            place[axis] = 0;
        }
    }
}

#endif
