/* Changing the line's rate: agreed on by BAUD, and given up again when nothing can be understood at it. */
#ifndef BAUD_H
#define BAUD_H

#include <stddef.h>
#include <stdint.h>

/* Answer BAUD and change to its rate; 0 when this port cannot change its rate at all. */
int baud_answer(uint16_t seq, const uint8_t *body, size_t count);

/* A good frame came: the line is understood. */
void baud_good(void);

/* A broken frame came: too many without a good one between lead back to the usual rate. */
void baud_broken(void);

#endif
