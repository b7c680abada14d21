/* Memories for the arena and the weights, by the names that a board's file may say. Flash and PSRAM are behind a
 * cache. */
#include "esp_attr.h"

#define ARENA_IN_DRAM
#define ARENA_IN_PSRAM EXT_RAM_BSS_ATTR
#define WEIGHTS_IN_FLASH
#define WEIGHTS_IN_DRAM DRAM_ATTR
