/* The firmware as an Arduino sketch: get ready, then serve the serial line for ever. */
extern "C" {
#include "src/port.h"
#include "src/runtime.h"
#include "src/session.h"
}

void setup()
{
    port_start();
    session_start(runtime_start());
}

void loop()
{
    static uint8_t bytes[64];

    session_take(bytes, port_read(bytes, sizeof bytes));
}
