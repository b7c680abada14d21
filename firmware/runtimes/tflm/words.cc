/* TFLite Micro's log goes into a buffer: its own sink, and the C library's printf with it, are not linked then. */
#include "words.h"

#include <cstdarg>
#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/micro/debug_log.h"

namespace
{

/* Text of at most `capacity` bytes with its end; `length` counts on beyond. */
struct Text {
    char *start;
    size_t capacity;
    size_t length;
};

void put(Text &text, char letter)
{
    if (text.length + 1 < text.capacity) {
        text.start[text.length] = letter;
        text.start[text.length + 1] = 0;
    }
    text.length++;
}

void put(Text &text, const char *letters)
{
    for (; *letters != 0; letters++) {
        put(text, *letters);
    }
}

void put_number(Text &text, uint64_t value, unsigned base, unsigned digits)
{
    char backwards[20];
    unsigned count = 0;

    do {
        backwards[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0 || count < digits);
    while (count > 0) {
        put(text, backwards[--count]);
    }
}

void put_signed(Text &text, int64_t value)
{
    if (value < 0) {
        put(text, '-');
    }
    put_number(text, value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value), 10, 1);
}

/* Three digits after the point are enough for a scale in an error. */
void put_real(Text &text, double value)
{
    const double size = value < 0 ? -value : value;

    if (!(size < 1e9)) {
        put(text, "(large)");
        return;
    }
    const uint64_t thousandths = static_cast<uint64_t>(size * 1000 + 0.5);
    put(text, value < 0 ? "-" : "");
    put_number(text, thousandths / 1000, 10, 1);
    put(text, '.');
    put_number(text, thousandths % 1000, 10, 3);
}

/* The conversion at `at`, behind flags, width and precision, which are skipped; returns its integer's size in bytes. */
size_t conversion(const char *&at)
{
    size_t size = sizeof(int);

    for (; *at != 0; at++) {
        if (*at == 'l') {
            size = size == sizeof(int) && at[1] != 'l' ? sizeof(long) : sizeof(long long);
        } else if (*at == 'z' || *at == 't') {
            size = sizeof(size_t);
        } else if (*at == 'j') {
            size = sizeof(intmax_t);
        } else if ((*at < '0' || *at > '9') && *at != '.' && *at != '-' && *at != '+' && *at != '#' && *at != 'h') {
            break;
        }
    }
    return size;
}

uint64_t integer(va_list *arguments, size_t size, bool is_signed)
{
    if (size > sizeof(int)) {
        return va_arg(*arguments, unsigned long long);
    }
    const unsigned value = va_arg(*arguments, unsigned);
    return is_signed ? static_cast<uint64_t>(static_cast<int64_t>(static_cast<int>(value))) : value;
}

/* One argument as printf would write it, for the conversions that TFLite Micro's messages use. */
void put_argument(Text &text, char kind, size_t size, va_list *arguments)
{
    switch (kind) {
    case 'd':
    case 'i':
        put_signed(text, static_cast<int64_t>(integer(arguments, size, true)));
        break;
    case 'u':
        put_number(text, integer(arguments, size, false), 10, 1);
        break;
    case 'x':
    case 'X':
        put_number(text, integer(arguments, size, false), 16, 1);
        break;
    case 'p':
        put_number(text, reinterpret_cast<uintptr_t>(va_arg(*arguments, void *)), 16, 1);
        break;
    case 'c':
        put(text, static_cast<char>(va_arg(*arguments, int)));
        break;
    case 's':
        put(text, va_arg(*arguments, const char *));
        break;
    case 'e':
    case 'f':
    case 'g':
        put_real(text, va_arg(*arguments, double));
        break;
    default:
        put(text, kind);
    }
}

void format_into(Text &text, const char *format, va_list given)
{
    va_list arguments;

    va_copy(arguments, given);
    for (const char *at = format; *at != 0; at++) {
        if (*at != '%') {
            put(text, *at);
            continue;
        }
        at++;
        const size_t size = conversion(at);
        if (*at == 0) {
            break;
        }
        put_argument(text, *at, size, &arguments);
    }
    va_end(arguments);
}

char said[256];
Text words = {said, sizeof said, 0};
bool line_ended;

} // namespace

void words_clear()
{
    words.length = 0;
    said[0] = 0;
    line_ended = false;
}

const char *words_said(const char *otherwise)
{
    return words.length > 0 ? said : otherwise;
}

/* Called by MicroPrintf: once with the message, once with "\r\n". */
extern "C" void DebugLog(const char *format, va_list arguments)
{
    if (format[0] == '\r' || format[0] == '\n') {
        line_ended = words.length > 0;
        return;
    }
    if (line_ended) {
        put(words, "; ");
        line_ended = false;
    }
    format_into(words, format, arguments);
}

/* Called by MicroSnprintf. */
extern "C" int DebugVsnprintf(char *buffer, size_t capacity, const char *format, va_list arguments)
{
    Text text = {buffer, capacity, 0};

    if (capacity > 0) {
        buffer[0] = 0;
    }
    format_into(text, format, arguments);
    return static_cast<int>(text.length);
}
