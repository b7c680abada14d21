#ifdef WITH_MLPERF

#pragma GCC optimize("Os") /* nothing here is in a hurry */

#include "mlperf.h"

#include <string.h>

#include "command.h"
#include "model.h"
#include "port.h"
#include "real.h"
#include "runtime.h"
#include "session.h"

#ifdef MODEL_PARTS
enum { HAS_PARTS = 1 };
#else
enum { HAS_PARTS = 0 };
#endif
enum { FLOAT_BYTES = 4, MOST_RUNS = 65535 /* at once, so that a damaged number does not stop the board for days */ };

static struct {
    int8_t *window, *output; /* the output is null until there is one */
    const char *fault;
    uint32_t wanted, loaded; /* bytes of `db load`, and those that came */
    uint32_t number;         /* the bits of a float that is being loaded */
#if MODEL_INPUT_BYTES == MODEL_OUTPUT_BYTES
    int8_t fraction[MODEL_INPUT_BYTES]; /* 256ths of the input's scale, beside the window: the input was floats */
#endif
    uint64_t ticks; /* since the start */
    uint32_t before;
} mlperf;

static void put(const char *words)
{
    port_write((const uint8_t *)words, strlen(words));
}

static void put_number(uint64_t number)
{
    char digits[REAL_TEXT_BYTES];

    whole_text(number, digits);
    put(digits);
}

static void put_real(real_t number)
{
    char digits[REAL_TEXT_BYTES];

    real_text(number, digits);
    put(digits);
}

/* A line `before`, number, `after`. */
static void put_line(const char *before, uint64_t number, const char *after)
{
    put(before);
    put_number(number);
    put(after);
    put("\r\n");
}

static void put_error(const char *words)
{
    put("e-[");
    put(words);
    put("]\r\n");
}

/* Read the clock, often enough that it never wraps twice in between. */
static void keep_time(void)
{
    const uint32_t now = port_ticks();

    mlperf.ticks += (uint32_t)(now - mlperf.before);
    mlperf.before = now;
}

static void put_lap(void)
{
    const uint32_t hz = port_facts().clock_hz;

    keep_time();
    put_line("m-lap-us-", mlperf.ticks / hz * 1000000 + mlperf.ticks % hz * 1000000 / hz, "");
}

static uint8_t is(const char *said, const char *name)
{
    return strlen(said) == strlen(name) && memcmp(said, name, strlen(name)) == 0;
}

/* Whether the window is loaded as floats, and then compared with the output: anomaly detection. */
static uint8_t takes_floats(void)
{
    return MODEL_INPUT_BYTES == MODEL_OUTPUT_BYTES && mlperf.wanted == (uint32_t)FLOAT_BYTES * MODEL_INPUT_BYTES;
}

/* Whether the benchmark sends the window as unsigned bytes: its two models of images. */
static uint8_t is_unsigned(void)
{
    return is(runtime_model()->name, "vww") || is(runtime_model()->name, "ic");
}

/* A float of the input as int8, the rest in 256ths beside it. */
static void load_float(uint32_t index, uint32_t bits)
{
#if MODEL_INPUT_BYTES == MODEL_OUTPUT_BYTES
    const runtime_quant_t quant = runtime_model()->input;
    const int32_t part = 256;
    const int32_t units = real_ratio256(bits, quant.scale_bits, 255 * part);
    int32_t value = (units + (units < 0 ? -part / 2 : part / 2)) / part + quant.zero_point; /* half away from zero */

    value = value < -128 ? -128 : value > 127 ? 127 : value;
    mlperf.window[index] = (int8_t)value;
    value = units - part * (value - quant.zero_point);
    mlperf.fraction[index] = (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
#else
    (void)index;
    (void)bits;
#endif
}

static void load_byte(uint8_t byte)
{
    if (takes_floats()) {
        mlperf.number = mlperf.number >> 8 | (uint32_t)byte << 24; /* little-endian */
        if (mlperf.loaded % FLOAT_BYTES == FLOAT_BYTES - 1) {
            load_float(mlperf.loaded / FLOAT_BYTES, mlperf.number);
        }
    } else {
        mlperf.window[mlperf.loaded] = (int8_t)(is_unsigned() ? byte ^ 0x80 : byte);
    }
    mlperf.loaded++;
    if (mlperf.loaded == mlperf.wanted) {
        put("m-load-done\r\n");
    }
}

static void load_hex(const char *digits)
{
    if (strlen(digits) % 2 != 0) {
        put_error("Insufficient number of hex digits");
        return;
    }
    for (; *digits != 0; digits += 2) {
        const int8_t high = command_digit(digits[0]), low = command_digit(digits[1]);

        if (high < 0 || low < 0) {
            put_error("Invalid hex digit");
            return;
        }
        if (mlperf.loaded == mlperf.wanted) {
            return; /* digits behind the end are disregarded */
        }
        load_byte((uint8_t)(high << 4 | low));
    }
}

static void begin_load(const char *said)
{
    const uint32_t bytes = command_number(said, 0);

    mlperf_forget();
    mlperf.wanted = bytes;
    if (bytes == MODEL_INPUT_BYTES || takes_floats()) {
        put_line("m-[Expecting ", bytes, " bytes]");
        return;
    }
    mlperf.wanted = 0;
    put_line("e-[This model takes ", MODEL_INPUT_BYTES, " bytes]");
}

static void print_window(void)
{
    static const char hex[] = "0123456789abcdef";
    const uint32_t count = takes_floats() ? mlperf.loaded / FLOAT_BYTES : mlperf.loaded;

    for (uint32_t i = 0; i < count; i++) {
        const uint8_t byte = (uint8_t)(is_unsigned() && !takes_floats() ? mlperf.window[i] ^ 0x80 : mlperf.window[i]);
        const char pair[] = {hex[byte >> 4], hex[byte & 15], 0};

        put(i % 8 == 0 ? "m-buffer-" : "-");
        put(pair);
        put(i % 8 == 7 || i + 1 == count ? "\r\n" : "");
    }
}

static void buffer(char *rest)
{
    const char *what = command_word(&rest);

    if (*what == 0) {
        put_error("Command 'db' requires a subcommand");
    } else if (is(what, "load")) {
        begin_load(command_word(&rest));
    } else if (is(what, "print")) {
        print_window();
    } else {
        load_hex(what);
    }
}

/* Mean of (output - input)^2, in real units: what anomaly detection is judged by. */
static real_t mean_squared_error(void)
{
    uint64_t sum = 0;
#if MODEL_INPUT_BYTES == MODEL_OUTPUT_BYTES
    const runtime_quant_t from = runtime_model()->input, to = runtime_model()->output;
    const int64_t input_scale = real_q24(from.scale_bits), output_scale = real_q24(to.scale_bits);

    for (uint32_t i = 0; i < MODEL_INPUT_BYTES; i++) {
        const int64_t in = (int64_t)256 * (mlperf.window[i] - from.zero_point) + mlperf.fraction[i];
        const int64_t out = (int64_t)256 * (mlperf.output[i] - to.zero_point);
        const int64_t apart = (out * output_scale - in * input_scale) / 65536; /* in 2^-16 */

        sum += (uint64_t)(apart * apart);
    }
#endif
    sum /= MODEL_INPUT_BYTES; /* in 2^-32 */
    return (real_t){0, (uint32_t)(sum >> 32), (sum & UINT32_MAX) << 28};
}

static void put_results(void)
{
    const runtime_quant_t quant = runtime_model()->output;

    if (mlperf.output == NULL) {
        put_error("There are no results");
        return;
    }
    put("m-results-[");
    if (takes_floats()) {
        put_real(mean_squared_error());
    } else {
        for (uint32_t i = 0; i < MODEL_OUTPUT_BYTES; i++) {
            put(i == 0 ? "" : ",");
            put_real(real_times(mlperf.output[i] - quant.zero_point, quant.scale_bits));
        }
    }
    put("]\r\n");
}

/* Run the window so often; NULL, or the fault in words. */
static const char *run(uint32_t count)
{
    const char *fault = mlperf.fault;

    mlperf.output = session_spare_output();
    for (; count > 0 && fault == NULL; count--) {
        fault = runtime_run(mlperf.window, mlperf.output);
        keep_time();
    }
    return fault;
}

static void infer(char *rest)
{
    const uint32_t count = command_number(command_word(&rest), 1), warmups = command_number(command_word(&rest), 10);
    const char *fault;

    if (HAS_PARTS) {
        put_error("The benchmark's models have one int8 input and one int8 output");
        return;
    }
    if (count == 0 || count > MOST_RUNS || warmups > MOST_RUNS) {
        put_error("Inference iterations are 1 to 65535, warmups 0 to 65535");
        return;
    }
    if (mlperf.wanted == 0 || mlperf.loaded != mlperf.wanted) {
        put("e-[");
        put_number(mlperf.loaded);
        put_line(" of ", mlperf.wanted == 0 ? MODEL_INPUT_BYTES : mlperf.wanted, " bytes are loaded]");
        return;
    }
    put_line("m-warmup-start-", warmups, "");
    fault = run(warmups);
    put("m-warmup-done\r\n");
    put_line("m-infer-start-", count, "");
    put_lap();
    fault = fault == NULL ? run(count) : fault;
    put_lap();
    put("m-infer-done\r\n");
    if (fault == NULL) {
        put_results();
    } else {
        mlperf.output = NULL;
        put_error(fault);
    }
}

static void profile(void)
{
    static const char *const benchmarks[] = {"kws", "vww", "ic", "ad"}; /* MLPerf Tiny's names of them end in 01 */
    const char *suffix = "";

    for (uint8_t i = 0; i < 4; i++) {
        suffix = is(runtime_model()->name, benchmarks[i]) ? "01" : suffix;
    }
    put("m-profile-[ULPMark for tinyML Firmware V0.0.1]\r\nm-model-[");
    put(runtime_model()->name);
    put(suffix);
    put("]\r\n");
}

void mlperf_obey(char *line)
{
    char *rest = line;
    const char *command = command_word(&rest);

    if (is(command, "name")) {
        put("m-name-dut-[" BOARD_NAME "]\r\n");
    } else if (is(command, "profile")) {
        profile();
    } else if (is(command, "timestamp")) {
        put_lap();
    } else if (is(command, "db")) {
        buffer(rest);
    } else if (is(command, "infer")) {
        infer(rest);
    } else if (is(command, "results")) {
        put_results();
    } else if (is(command, "help")) {
        put("name%, profile%, timestamp%, db load N%, db HH[HH]*%, db print%, infer N [W=10]%, results%\r\n");
    } else if (*command != 0) {
        put("e-[Unknown command: ");
        put(command);
        put("]\r\n");
    }
    put("m-ready\r\n");
}

void mlperf_forget(void)
{
    mlperf.wanted = 0;
    mlperf.loaded = 0;
    mlperf.output = NULL;
}

void mlperf_start(int8_t *window, const char *fault)
{
    memset(&mlperf, 0, sizeof mlperf);
    mlperf.window = window;
    mlperf.fault = fault;
    mlperf.before = port_ticks();
}

#endif
