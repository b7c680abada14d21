/* The stack at its deepest: painted at the start, looked at later. */
#ifndef STACK_H
#define STACK_H

#include <stdint.h>

typedef struct {
    uint32_t
        size; /* bytes that the linker script sets aside; 0 where another (a framework, an operating system) does */
    uint32_t used; /* bytes that were ever used since stack_paint() */
} stack_use_t;

/* Paint what is free of the stack; once, before anything goes deep. */
void stack_paint(void);

stack_use_t stack_look(void);

#endif
