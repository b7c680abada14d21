/* The firmware: get ready, then serve the line for ever. */
#include "port.h"
#include "runtime.h"
#include "session.h"
#include "stack.h"

int main(void)
{
    static uint8_t bytes[64];

    port_start();
    stack_paint();
    session_start(runtime_start());
    for (;;) {
        session_take(bytes, port_read(bytes, sizeof bytes));
    }
}
