/* A word to the compiler about registers. */
#ifndef NN_NOW_H
#define NN_NOW_H

/* Two sums are wanted now: else compilers do all loads and products of a long loop first, and registers are few. */
#define NN_NOW(a, b) __asm__ volatile("" ::"r"(a), "r"(b) : "memory")

/* For an innermost loop that needs all registers: what its caller keeps must not take them. */
#define NN_APART __attribute__((noinline, unused))

/* What its caller knows at compile time makes it another function. */
#define NN_ALWAYS static inline __attribute__((always_inline))

#endif
