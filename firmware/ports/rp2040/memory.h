/* Memories for the arena and the weights, by the names that a board's file may say. Weights in flash leave RAM for the
 * arena, and wait for the cache where it misses. */
#define ARENA_IN_RAM
#define WEIGHTS_IN_RAM
#define WEIGHTS_IN_FLASH __attribute__((section(".rodata.in_flash")))
