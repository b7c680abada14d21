/* Any chip of Espressif's under ESP-IDF 5: its UART driver, its cycle counter, and app_main() instead of main(). */
#include "port.h"

#include "driver/uart.h"
#include "esp_cpu.h"
#include "esp_rom_sys.h"
#include "esp_system.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

#include "credits.h"
#include "divider.h"
#include "runtime.h"
#include "session.h"

enum { LINE = UART_NUM_0 };
enum { RECEIVE_BYTES = 8192 /* filled by an interrupt while the model runs */ };
enum { CRYSTAL_HZ = 40000000, LEAST_SIXTEENTHS = 2 << 4, MOST_SIXTEENTHS = 0xFFF << 4 };
enum { RESTS_EVERY_US = 1000000 /* the task watchdog looks whether the idle task had its turn every 5 s */ };

static void start_line(void)
{
    const uart_config_t config = {
        .baud_rate = BOARD_BAUD,
        .data_bits = UART_DATA_8_BITS,
        .parity = UART_PARITY_DISABLE,
        .stop_bits = UART_STOP_BITS_1,
        .flow_ctrl = UART_HW_FLOWCTRL_DISABLE,
        .source_clk = UART_SCLK_DEFAULT,
    };

    ESP_ERROR_CHECK(uart_driver_install(LINE, RECEIVE_BYTES, 0, 0, NULL, 0));
    ESP_ERROR_CHECK(uart_param_config(LINE, &config));
    ESP_ERROR_CHECK(uart_set_pin(LINE, UART_PIN_NO_CHANGE, UART_PIN_NO_CHANGE, UART_PIN_NO_CHANGE, UART_PIN_NO_CHANGE));
}

void port_start(void)
{
    start_line();
}

static uint8_t reset_cause(void)
{
    switch (esp_reset_reason()) {
    case ESP_RST_POWERON:
        return PORT_RESET_POWER_ON;
    case ESP_RST_EXT:
        return PORT_RESET_PIN;
    case ESP_RST_SW:
    case ESP_RST_PANIC:
        return PORT_RESET_SOFTWARE;
    case ESP_RST_INT_WDT:
    case ESP_RST_TASK_WDT:
    case ESP_RST_WDT:
        return PORT_RESET_WATCHDOG;
    default:
        return PORT_RESET_UNKNOWN;
    }
}

port_facts_t port_facts(void)
{
    const port_facts_t facts = {
        .clock_kind = PORT_CLOCK_CYCLES,
        .clock_hz = esp_rom_get_cpu_ticks_per_us() * 1000000u,
        .reset_cause = reset_cause(),
        .credits = credits_of(RECEIVE_BYTES),
    };

    return facts;
}

/* A line that is never silent would keep this task running for ever: it rests now and then, and whenever it waits. */
static void rest(void)
{
    static int64_t rested;
    const int64_t now = esp_timer_get_time();

    if (now - rested > RESTS_EVERY_US) {
        vTaskDelay(1);
        rested = now;
    }
}

size_t port_read(uint8_t *bytes, size_t capacity)
{
    size_t waiting = 0;
    int taken;

    rest();
    ESP_ERROR_CHECK(uart_get_buffered_data_len(LINE, &waiting));
    waiting = waiting == 0 ? 1 : waiting < capacity ? waiting : capacity;
    do {
        taken = uart_read_bytes(LINE, bytes, (uint32_t)waiting, portMAX_DELAY);
    } while (taken <= 0);
    return (size_t)taken;
}

void port_write(const uint8_t *bytes, size_t count)
{
    uart_write_bytes(LINE, bytes, count);
}

/* By the slowest clock that a chip's UART may have, the crystal; dividers count in sixteenths. */
int port_takes_baud(uint32_t baud)
{
    return baud == 0 || divider_of(16u * CRYSTAL_HZ, baud, LEAST_SIXTEENTHS, MOST_SIXTEENTHS) != 0;
}

void port_set_baud(uint32_t baud)
{
    ESP_ERROR_CHECK(uart_wait_tx_done(LINE, portMAX_DELAY));
    ESP_ERROR_CHECK(uart_set_baudrate(LINE, baud == 0 ? BOARD_BAUD : baud));
}

uint32_t port_ticks(void)
{
    return esp_cpu_get_cycle_count();
}

void app_main(void);

void app_main(void)
{
    static uint8_t bytes[64];

    port_start();
    session_start(runtime_start());
    for (;;) {
        session_take(bytes, port_read(bytes, sizeof bytes));
    }
}
