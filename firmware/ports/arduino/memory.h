/* Memories for the arena and the weights, by the names that a board's file may say: on chips of the ESP32 family. */
#ifndef ESP_PLATFORM
#error "[memory] of the board: only ESP32 boards have a choice under Arduino"
#endif
#include "esp_attr.h"

#define ARENA_IN_DRAM
#define ARENA_IN_PSRAM EXT_RAM_BSS_ATTR
#define WEIGHTS_IN_FLASH
#define WEIGHTS_IN_DRAM DRAM_ATTR
