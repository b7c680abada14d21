/* ESP32-S3: the chip of ../esp; its second core stays in reset. */
#include "port.h"

#include "../esp/chip.h"

void port_start(void)
{
    chip_start();
}
