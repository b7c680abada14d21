/* An AVR board as simavr has it, cycle by cycle, with USART 0 on a pseudo-terminal: simavr MCU HZ ELF.
 * Prints the pty's path. Ends when stdin does, and then says how deep the stack went. */
#define _XOPEN_SOURCE 700

#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>

enum { POLL_CYCLES = 4000, LINE_BYTES = 4096, PAINT = 0xA5 };

typedef struct {
    uint8_t bytes[LINE_BYTES];
    size_t first, count;
} queue_t;

static int line = -1; /* our side of the pty */
static int may_feed;  /* the chip's receiver has room */
static queue_t to_chip, from_chip;

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* The far side stays open here too: else a host that closes it would end the line with EIO. */
static void open_line(void)
{
    struct termios raw;
    const char *path;
    int far;

    line = posix_openpt(O_RDWR | O_NOCTTY);
    if (line < 0 || fcntl(line, F_SETFL, O_NONBLOCK) != 0 || grantpt(line) != 0 || unlockpt(line) != 0) {
        die("posix_openpt");
    }
    path = ptsname(line);
    far = open(path, O_RDWR | O_NOCTTY);
    if (far < 0 || tcgetattr(far, &raw) != 0) {
        die(path);
    }
    raw.c_iflag = raw.c_oflag = raw.c_lflag = 0;
    raw.c_cflag = CS8 | CREAD | CLOCAL;
    if (tcsetattr(far, TCSANOW, &raw) != 0) {
        die(path);
    }
    printf("pty: %s\n", path);
    fflush(stdout);
}

static void on_room(struct avr_irq_t *irq, uint32_t value, void *parameter)
{
    (void)irq, (void)value, (void)parameter;
    may_feed = 1;
}

static void on_full(struct avr_irq_t *irq, uint32_t value, void *parameter)
{
    (void)irq, (void)value, (void)parameter;
    may_feed = 0;
}

static void on_output(struct avr_irq_t *irq, uint32_t value, void *parameter)
{
    (void)irq, (void)parameter;
    from_chip.bytes[(from_chip.first + from_chip.count++) % LINE_BYTES] = (uint8_t)value;
}

/* Bytes both ways between the pty and the chip; waits for the host when it does not read. */
static void serve_line(avr_irq_t *input)
{
    struct pollfd room = {.fd = line, .events = POLLOUT};

    while (from_chip.count > 0) {
        if (write(line, &from_chip.bytes[from_chip.first], 1) == 1) {
            from_chip.first = (from_chip.first + 1) % LINE_BYTES;
            from_chip.count--;
        } else if (from_chip.count < LINE_BYTES / 2 || poll(&room, 1, -1) < 0) {
            break;
        }
    }
    if (to_chip.count == 0) {
        const ssize_t taken = read(line, to_chip.bytes, LINE_BYTES);

        to_chip.first = 0;
        to_chip.count = taken > 0 ? (size_t)taken : 0;
    }
    while (may_feed && to_chip.count > 0) {
        avr_raise_irq(input, to_chip.bytes[to_chip.first++]);
        to_chip.count--;
    }
}

static int switched_off(void)
{
    struct pollfd waiting = {.fd = STDIN_FILENO, .events = POLLIN};
    char ignored[64];

    return poll(&waiting, 1, 0) > 0 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0;
}

/* Bytes below the top of RAM that are no longer as they were painted. */
static uint32_t stack_depth(const avr_t *avr, uint32_t bottom)
{
    uint32_t address = bottom;

    while (address <= avr->ramend && avr->data[address] == PAINT) {
        address++;
    }
    return avr->ramend + 1u - address;
}

static avr_t *start(const char *mcu, const char *hz, const char *path, uint32_t *bottom)
{
    elf_firmware_t firmware;
    avr_t *avr = avr_make_mcu_by_name(mcu);

    memset(&firmware, 0, sizeof firmware);
    if (avr == NULL || elf_read_firmware(path, &firmware) != 0) {
        fprintf(stderr, "cannot run %s on a %s\n", path, mcu);
        exit(EXIT_FAILURE);
    }
    avr_init(avr);
    avr_load_firmware(avr, &firmware);
    avr->frequency = (uint32_t)strtoul(hz, NULL, 10);
    *bottom = avr->ioend + 1u + firmware.datasize + firmware.bsssize;
    memset(&avr->data[*bottom], PAINT, avr->ramend + 1u - *bottom);
    return avr;
}

int main(int count, char **words)
{
    uint32_t bottom, flags = 0;
    avr_cycle_count_t next = 0;
    avr_irq_t *input;
    avr_t *avr;

    if (count != 4) {
        fprintf(stderr, "usage: simavr MCU HZ ELF\n");
        return EXIT_FAILURE;
    }
    avr = start(words[1], words[2], words[3], &bottom);
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    input = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XON), on_room, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XOFF), on_full, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), on_output, NULL);
    open_line();
    while (avr_run(avr) != cpu_Crashed && avr->state != cpu_Done) {
        if (avr->cycle >= next) {
            serve_line(input);
            next = avr->cycle + POLL_CYCLES;
            if (switched_off()) {
                printf("stack: %u bytes\n", stack_depth(avr, bottom));
                return EXIT_SUCCESS;
            }
        }
    }
    fprintf(stderr, "the processor stopped\n");
    return EXIT_FAILURE;
}
