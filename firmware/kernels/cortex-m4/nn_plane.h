/* One channel on its own, for cores with Arm's DSP extension; see the portable nn_plane.h. */
#ifndef NN_PLANE_H
#define NN_PLANE_H

#include "nn_pairs.h"

typedef struct {
    nn_size_t kernel, stride;
    int32_t width; /* values of a row of the plane, even */
} nn_plane_t;

/* A channel of an image outside the plane: one step to the right, one down, in bytes. */
typedef struct {
    nn_size_t size;
    int32_t step, row;
} nn_channel_t;

/* A channel of x to a plane with `width` values in a row. */
__attribute__((noinline, unused)) static void nn_plane_copy(const int8_t *x, const nn_channel_t *c, int16_t *to,
                                                            int32_t width)
{
    int32_t step = c->step, twice = 2 * step, thrice = 3 * step, columns = c->size.width;
    int32_t skip = c->row - columns * step;
    width -= columns;
    for (int32_t rows = c->size.height; rows > 0; rows--, x += skip, to += width) {
        int32_t left = columns;
        for (; left >= 4; left -= 4, x += 4 * step, to += 4) {
            to[0] = x[0];
            to[1] = x[step];
            to[2] = x[twice];
            to[3] = x[thrice];
        }
        for (; left > 0; left--, x += step) {
            *to++ = *x;
        }
    }
}

/* A filter of 3 x 3: the first two and the last two weights of each row. */
typedef struct {
    int32_t left[3], right[3];
} nn_filter3_t;

/* What a row of outputs needs besides its filter; pairs are loaded together. */
typedef struct {
    struct {
        int32_t multiplier, shift;
    } scale;
    struct {
        int32_t offset, step;
    } place;
    int32_t bias;
    const int16_t *end; /* where the row's last corner is passed */
} nn_row3_t;

#define NN_FILTER3_ROW(left, right)                                                                                    \
    "smlad %[a], %[x], " left ", %[a]\n\t"                                                                             \
    "smlatb %[b], %[x], " left ", %[b]\n\t"                                                                            \
    "smlabt %[a], %[y], " right ", %[a]\n\t"                                                                           \
    "smlad %[b], %[y], " right ", %[b]\n\t"

/* Outputs of neighbouring windows, two at a time, from `corner`, which is aligned to 4, to r->end; a row of the plane
 * takes `bytes`. Of more than 13 registers there are none, so the rest is loaded from the stack. */
static inline int8_t *nn_filter3_pairs(const nn_filter3_t *f, const nn_row3_t *r, const int16_t *corner, int32_t bytes,
                                       int8_t *output)
{
    int32_t a, b, x, y;
    __asm__ volatile("1:\n\t"
                     "ldr %[a], %[bias]\n\t"
                     "mov %[b], %[a]\n\t"
                     "ldrd %[x], %[y], [%[p]], #4\n\t" NN_FILTER3_ROW("%[l0]", "%[r0]") /* */
                     "add %[x], %[p], %[s]\n\t"
                     "ldrd %[x], %[y], [%[x], #-4]\n\t" NN_FILTER3_ROW("%[l1]", "%[r1]") /* */
                     "add %[x], %[p], %[s], lsl #1\n\t"
                     "ldrd %[x], %[y], [%[x], #-4]\n\t" NN_FILTER3_ROW("%[l2]", "%[r2]") /* */
                     "ldrd %[x], %[y], %[scale]\n\t"
                     "smmlar %[a], %[a], %[x], %[a]\n\t"
                     "smmlar %[b], %[b], %[x], %[b]\n\t"
                     "add %[a], %[a], %[a], asr #31\n\t"
                     "add %[b], %[b], %[b], asr #31\n\t"
                     "asr %[a], %[a], %[y]\n\t"
                     "asr %[b], %[b], %[y]\n\t"
                     "ldrd %[x], %[y], %[place]\n\t"
                     "add %[a], %[a], %[x]\n\t"
                     "add %[b], %[b], %[x]\n\t"
                     "ssat %[a], #8, %[a], asr #1\n\t"
                     "ssat %[b], #8, %[b], asr #1\n\t"
                     "strb %[a], [%[o]]\n\t"
                     "strb %[b], [%[o], %[y]]\n\t"
                     "ldr %[x], %[end]\n\t"
                     "add %[o], %[o], %[y], lsl #1\n\t"
                     "cmp %[p], %[x]\n\t"
                     "blo 1b"
                     : [a] "=&r"(a), [b] "=&r"(b), [x] "=&r"(x), [y] "=&r"(y), [p] "+&r"(corner), [o] "+&r"(output)
                     : [s] "r"(bytes), [l0] "r"(f->left[0]), [l1] "r"(f->left[1]), [l2] "r"(f->left[2]),
                       [r0] "r"(f->right[0]), [r1] "r"(f->right[1]), [r2] "r"(f->right[2]), [bias] "m"(r->bias),
                       [scale] "m"(r->scale), [place] "m"(r->place), [end] "m"(r->end)
                     : "cc", "memory");
    return output;
}

/* The same one at a time, two columns apart. */
static inline void nn_filter3_singles(const nn_filter3_t *f, const nn_row3_t *r, const int16_t *corner, int32_t bytes,
                                      int8_t *output)
{
    int32_t a, x, y;
    __asm__ volatile("1:\n\t"
                     "ldr %[a], %[bias]\n\t"
                     "ldrd %[x], %[y], [%[p]], #4\n\t"
                     "smlad %[a], %[x], %[l0], %[a]\n\t"
                     "smlabt %[a], %[y], %[r0], %[a]\n\t"
                     "add %[x], %[p], %[s]\n\t"
                     "ldrd %[x], %[y], [%[x], #-4]\n\t"
                     "smlad %[a], %[x], %[l1], %[a]\n\t"
                     "smlabt %[a], %[y], %[r1], %[a]\n\t"
                     "add %[x], %[p], %[s], lsl #1\n\t"
                     "ldrd %[x], %[y], [%[x], #-4]\n\t"
                     "smlad %[a], %[x], %[l2], %[a]\n\t"
                     "smlabt %[a], %[y], %[r2], %[a]\n\t"
                     "ldrd %[x], %[y], %[scale]\n\t"
                     "smmlar %[a], %[a], %[x], %[a]\n\t"
                     "add %[a], %[a], %[a], asr #31\n\t"
                     "asr %[a], %[a], %[y]\n\t"
                     "ldrd %[x], %[y], %[place]\n\t"
                     "add %[a], %[a], %[x]\n\t"
                     "ssat %[a], #8, %[a], asr #1\n\t"
                     "ldr %[x], %[end]\n\t"
                     "strb %[a], [%[o]]\n\t"
                     "add %[o], %[o], %[y]\n\t"
                     "cmp %[p], %[x]\n\t"
                     "blo 1b"
                     : [a] "=&r"(a), [x] "=&r"(x), [y] "=&r"(y), [p] "+&r"(corner), [o] "+&r"(output)
                     : [s] "r"(bytes), [l0] "r"(f->left[0]), [l1] "r"(f->left[1]), [l2] "r"(f->left[2]),
                       [r0] "r"(f->right[0]), [r1] "r"(f->right[1]), [r2] "r"(f->right[2]), [bias] "m"(r->bias),
                       [scale] "m"(r->scale), [place] "m"(r->place), [end] "m"(r->end)
                     : "cc", "memory");
}

/* All outputs of a filter of 3 x 3 that moves by one or two columns. */
__attribute__((noinline, unused)) static void nn_plane_filter3(const nn_plane_t *p, const int16_t *plane,
                                                               NN_ROM int8_t *w, nn_scale_t scale, int32_t offset,
                                                               int8_t *output, const nn_channel_t *c)
{
    nn_row3_t r = {{scale.multiplier, scale.shift}, {offset, c->step}, scale.bias >> 5, plane};
    const nn_filter3_t f = {.left = {nn_pair(w[0], w[1]), nn_pair(w[3], w[4]), nn_pair(w[6], w[7])},
                            .right = {nn_pair(w[1], w[2]), nn_pair(w[4], w[5]), nn_pair(w[7], w[8])}};
    int32_t down = p->stride.height * p->width, right = p->stride.width, width = c->size.width * right;
    int32_t paired = right == 1 ? width & ~1 : 0;
    for (int32_t rows = c->size.height; rows > 0; rows--, plane += down, output += c->row) {
        const int16_t *corner = plane;
        int8_t *place = output;
        if (paired) {
            r.end = corner = plane + paired;
            place = nn_filter3_pairs(&f, &r, plane, 2 * p->width, place);
        }
        if (paired < width) {
            r.end = plane + width;
            nn_filter3_singles(&f, &r, corner, 2 * p->width, place);
        }
    }
}

/* The sum of one window of any size, two taps at a time. */
static inline int32_t nn_plane_window(const nn_plane_t *p, const int16_t *corner, NN_ROM int8_t *weights, int32_t sum)
{
    for (int32_t row = 0; row < p->kernel.height; row++, corner += p->width) {
        const int16_t *x = corner;
        int32_t left = p->kernel.width;
        for (; left >= 2; left -= 2, x += 2, weights += 2) {
            uint32_t pair;
            __builtin_memcpy(&pair, x, 4);
            sum = __smlad((int16x2_t)pair, (int16x2_t)nn_pair(weights[0], weights[1]), sum);
        }
        if (left) {
            sum += *x * *weights++;
        }
    }
    return sum;
}

/* All outputs of one filter int8 [kernel height][kernel width]; `offset` as in nn_scaled(). */
static inline void nn_plane_filter(const nn_plane_t *p, const int16_t *plane, NN_ROM int8_t *weights, nn_scale_t scale,
                                   int32_t offset, int8_t *output, const nn_channel_t *c)
{
    if (p->kernel.height == 3 && p->kernel.width == 3 && p->stride.width <= 2) {
        nn_plane_filter3(p, plane, weights, scale, offset, output, c);
        return;
    }
    int32_t down = p->stride.height * p->width;
    for (int32_t y = 0; y < c->size.height; y++, plane += down, output += c->row) {
        for (int32_t x = 0; x < c->size.width; x++) {
            int32_t sum = nn_plane_window(p, plane + x * p->stride.width, weights, 0);
            output[x * c->step] = nn_scaled(sum, scale, offset);
        }
    }
}

#endif
