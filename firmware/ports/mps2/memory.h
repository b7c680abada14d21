/* Memories for the arena and the weights, by the names that a board's file may say. A linker script that does not know
 * such a section takes it as usual: a board's emulator may be another port. */
#define ARENA_IN_RAM
#define ARENA_IN_PSRAM __attribute__((section(".bss.in_psram")))
#define WEIGHTS_IN_FLASH
#define WEIGHTS_IN_RAM __attribute__((section(".data.weights")))
