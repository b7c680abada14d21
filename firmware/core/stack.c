#include "stack.h"

enum { PAINT = 0xA5, IN_USE = 64 /* below the caller's variables: this function's own */ };

/* The linker script's, if it has them. */
extern uint8_t stack_bottom[] __attribute__((weak));
extern uint8_t stack_top[] __attribute__((weak));

void stack_paint(void)
{
    const volatile uint8_t here = 0;
    const uintptr_t bottom = (uintptr_t)stack_bottom, now = (uintptr_t)&here;

    if (bottom != 0 && now > bottom + IN_USE) {
        for (volatile uint8_t *free = stack_bottom; (uintptr_t)free < now - IN_USE; free++) {
            *free = PAINT;
        }
    }
}

stack_use_t stack_look(void)
{
    const uintptr_t bottom = (uintptr_t)stack_bottom, top = (uintptr_t)stack_top;
    uintptr_t deepest = bottom;

    while (deepest < top && *(const volatile uint8_t *)deepest == PAINT) {
        deepest++;
    }
    return (stack_use_t){(uint32_t)(top - bottom), (uint32_t)(top - deepest)};
}
