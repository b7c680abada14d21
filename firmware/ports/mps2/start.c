/* From reset to main(): vectors, initial data, zeroed memory. */
#include <stdint.h>

extern uint32_t data_start[], data_end[], bss_start[], bss_end[], stack_top[];
extern const uint32_t data_load[];

int main(void);
void reset(void);
void on_receive(void);

void reset(void)
{
    const uint32_t *from = data_load;

#ifdef __ARM_FEATURE_MVE
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* full access to the vector registers */
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
    for (uint32_t *to = data_start; to < data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = bss_start; to < bss_end; to++) {
        *to = 0;
    }
    main();
}

/* A fault ends here: the host sees a silent device. */
static void stop(void)
{
    for (;;) {
    }
}

/* The port's, if it lets interrupts through. */
__attribute__((weak)) void on_receive(void)
{
}

typedef union {
    const void *stack;
    void (*handler)(void);
} vector_t;

__attribute__((section(".vectors"), used)) static const vector_t vectors[17] = {
    {.stack = stack_top}, {.handler = reset},      {.handler = stop}, {.handler = stop}, {.handler = stop},
    {.handler = stop},    {.handler = stop},       {.handler = 0},    {.handler = 0},    {.handler = 0},
    {.handler = 0},       {.handler = stop},       {.handler = stop}, {.handler = 0},    {.handler = stop},
    {.handler = stop},    {.handler = on_receive}, /* interrupt 0: UART 0 has received */
};
