/* A native process as a board: the serial line is a pseudo-terminal whose path is printed on stdout. */
#define _XOPEN_SOURCE 700

#include "port.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { PTY_BYTES = 4096 };
enum { CREDITS = 16 /* a pty holds 4 KB for us, and the rest waits in the host's write(); session.c gives fewer */ };

static int line = -1;      /* our side of the pty */
static speed_t rate = B0;  /* agreed on; B0: the one at start, which any slow one is */
static int understood = 1; /* the far side has set the same rate; else bytes are noise, as on a wire */

static struct {
    uint8_t bytes[PTY_BYTES];
    size_t first, end;
} received; /* and not yet asked for */

static const struct {
    uint32_t baud;
    speed_t rate;
} rates[] = {{230400, B230400}, {460800, B460800}, {921600, B921600}, {2000000, B2000000}};

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void end(int signal_number)
{
    _exit(128 + signal_number);
}

/* The far side stays open here too: else a host that closes it would end the line with EIO. */
static void open_far_side(const char *path)
{
    struct termios raw;
    const int far = open(path, O_RDWR | O_NOCTTY);

    if (far < 0 || tcgetattr(far, &raw) != 0) {
        die(path);
    }
    raw.c_iflag = 0;
    raw.c_oflag = 0;
    raw.c_lflag = 0;
    raw.c_cflag = CS8 | CREAD | CLOCAL;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(far, TCSANOW, &raw) != 0) {
        die(path);
    }
}

void port_start(void)
{
    const char *path;

    signal(SIGTERM, end);
    line = posix_openpt(O_RDWR | O_NOCTTY);
    if (line < 0 || fcntl(line, F_SETFL, O_NONBLOCK) != 0 || grantpt(line) != 0 || unlockpt(line) != 0) {
        die("posix_openpt");
    }
    path = ptsname(line);
    if (path == NULL) {
        die("ptsname");
    }
    open_far_side(path);
    printf("pty: %s\n", path);
    fflush(stdout);
}

port_facts_t port_facts(void)
{
    const port_facts_t facts = {
        .clock_kind = PORT_CLOCK_MICROSECONDS,
        .clock_hz = 1000000,
        .reset_cause = PORT_RESET_POWER_ON,
        .credits = CREDITS,
    };

    return facts;
}

/* Wait for the line. Whoever started us holds the other end of stdin: when it closes, the board is switched off. */
static void wait_for_line(short events)
{
    struct pollfd waiting[2] = {{.fd = line, .events = events}, {.fd = STDIN_FILENO, .events = POLLIN}};
    char ignored[64];

    do {
        if (poll(waiting, 2, -1) < 0 && errno != EINTR) {
            die("poll");
        }
        if (waiting[1].revents != 0 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0) {
            exit(EXIT_SUCCESS);
        }
    } while (waiting[0].revents == 0);
}

/* A pty carries every byte at every rate, but knows which one the far side has set. */
static void compare_rates(void)
{
    struct termios far;

    if (tcgetattr(line, &far) == 0) {
        const speed_t set = cfgetospeed(&far);

        understood = rate == B0 ? set <= B115200 : set == rate;
    }
}

int port_takes_baud(uint32_t baud)
{
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        if (rates[i].baud == baud) {
            return 1;
        }
    }
    return baud == 0;
}

void port_set_baud(uint32_t baud)
{
    rate = B0;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        rate = rates[i].baud == baud ? rates[i].rate : rate;
    }
}

/* After a read or write that did nothing: wait until it may do something. */
static void wait_after(ssize_t done, const char *what, short events)
{
    if (done < 0 && errno != EINTR && errno != EAGAIN) {
        die(what);
    }
    wait_for_line(events);
}

/* All that the pty holds at once: on a fast line the calls of the system take longer than the bytes. */
static void fill(void)
{
    ssize_t taken;

    while ((taken = read(line, received.bytes, sizeof received.bytes)) <= 0) {
        wait_after(taken, "read", POLLIN);
    }
    compare_rates();
    for (ssize_t i = 0; i < taken && !understood; i++) {
        received.bytes[i] = (uint8_t)(received.bytes[i] & 0x7E);
    }
    received.first = 0;
    received.end = (size_t)taken;
}

size_t port_read(uint8_t *bytes, size_t capacity)
{
    size_t count;

    if (received.first == received.end) {
        fill();
    }
    count = received.end - received.first < capacity ? received.end - received.first : capacity;
    memcpy(bytes, received.bytes + received.first, count);
    received.first += count;
    return count;
}

void port_write(const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        ssize_t sent;

        compare_rates();
        sent = understood ? write(line, bytes, count) : write(line, "\xF8", 1);
        if (sent <= 0) {
            wait_after(sent, "write", POLLOUT);
        } else {
            bytes += sent;
            count -= (size_t)sent;
        }
    }
}

uint32_t port_ticks(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
}
