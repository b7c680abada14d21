/* The layout `pairs` of which most words are zero: a stream that names the others. For two outputs it has a byte that
 * counts words, then for each a byte, how many words of x it lies behind the one before it, and the word itself, the
 * two outputs' weights of two values of x. Where a distance does not fit, a word of zero stands. */
#ifndef NN_SPARSE_PAIRS_H
#define NN_SPARSE_PAIRS_H

#include "nn_pairs.h"

enum { NN_COLUMNS = 4 }; /* windows that a word of weights serves */

/* sums[2]: those of one of `lanes` columns that lie side by side. Returns where the next two outputs begin. */
static inline NN_ROM uint8_t *nn_sparse_pairs_column(NN_ROM uint8_t *stream, const int32_t *column, int32_t lanes,
                                                     int32_t *sums)
{
    sums[0] = sums[1] = 0;
    for (int32_t left = *stream++; left > 0; left--, stream += 5) {
        uint32_t word = stream[1] | (uint32_t)stream[2] << 8 | (uint32_t)stream[3] << 16 | (uint32_t)stream[4] << 24;
        column += *stream * lanes;
        nn_pairs_word((int32_t)word, *column, sums);
    }
    return stream;
}

/* The same of a single column. */
static inline NN_ROM uint8_t *nn_sparse_pairs_row(NN_ROM uint8_t *stream, const int32_t *column, int32_t *sums)
{
    return nn_sparse_pairs_column(stream, column, 1, sums);
}

/* sums[2][NN_COLUMNS]: two outputs of all columns. */
static inline NN_ROM uint8_t *nn_sparse_pairs_columns(NN_ROM uint8_t *stream, const int32_t *columns, int32_t *sums)
{
    NN_ROM uint8_t *rest = stream;
    for (int8_t i = 0; i < NN_COLUMNS; i++) {
        int32_t two[2];
        rest = nn_sparse_pairs_column(stream, columns + i, NN_COLUMNS, two);
        sums[i] = two[0];
        sums[NN_COLUMNS + i] = two[1];
    }
    return rest;
}

#endif
