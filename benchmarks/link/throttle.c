/* throttle PTY BAUD: a pty of its own (its path is printed) joined to another by a line of BAUD, 10 bits a byte.
 *
 * Each direction is a UART: a byte leaves when the one before has left and 10 bit times have passed. What has arrived
 * waits for the device in a buffer, as the interrupt or DMA of a chip that gives credits keeps it. */
#define _XOPEN_SOURCE 700

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { FIFO = 4096 /* bytes on the sender's side */, STORE = 1 << 18 /* arrived and not yet taken */, TICK_US = 100 };

typedef struct {
    int from, to;
    double free_at; /* seconds: when the byte before has left */
    unsigned char fifo[FIFO];
    size_t waiting;
    unsigned char store[STORE];
    size_t arrived;
} way_t;

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void make_raw(int line)
{
    struct termios raw;

    if (tcgetattr(line, &raw) != 0) {
        die("tcgetattr");
    }
    raw.c_iflag = 0;
    raw.c_oflag = 0;
    raw.c_lflag = 0;
    raw.c_cflag = CS8 | CREAD | CLOCAL;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(line, TCSANOW, &raw) != 0 || fcntl(line, F_SETFL, O_NONBLOCK) != 0) {
        die("tcsetattr");
    }
}

/* Take what the sender has written, as far as its FIFO goes. */
static void take(way_t *way)
{
    const ssize_t count = read(way->from, way->fifo + way->waiting, FIFO - way->waiting);

    if (count > 0) {
        if (way->waiting == 0 && way->free_at < now()) {
            way->free_at = now();
        }
        way->waiting += (size_t)count;
    } else if (count < 0 && errno != EAGAIN && errno != EIO) {
        die("read");
    }
}

/* Let the bytes leave whose time has come, and hand over what has arrived. */
static void carry(way_t *way, double byte_seconds)
{
    const double time = now();
    size_t left = 0;
    ssize_t given;

    while (left < way->waiting && way->arrived < STORE && way->free_at + byte_seconds <= time) {
        way->store[way->arrived++] = way->fifo[left++];
        way->free_at += byte_seconds;
    }
    memmove(way->fifo, way->fifo + left, way->waiting - left);
    way->waiting -= left;
    given = way->arrived == 0 ? 0 : write(way->to, way->store, way->arrived);
    if (given > 0) {
        memmove(way->store, way->store + given, way->arrived - (size_t)given);
        way->arrived -= (size_t)given;
    }
}

int main(int count, char **words)
{
    static way_t to, from;
    const int near = posix_openpt(O_RDWR | O_NOCTTY);
    const int far = count == 3 ? open(words[1], O_RDWR | O_NOCTTY) : -1;
    const double byte_seconds = count == 3 ? 10.0 / strtod(words[2], NULL) : 0;
    int slave;

    if (near < 0 || far < 0 || grantpt(near) != 0 || unlockpt(near) != 0) {
        die("throttle PTY BAUD");
    }
    prctl(PR_SET_TIMERSLACK, 1UL);
    slave = open(ptsname(near), O_RDWR | O_NOCTTY); /* kept open, so that the line outlives who opens it */
    make_raw(slave);
    make_raw(far);
    fcntl(near, F_SETFL, O_NONBLOCK);
    to.from = from.to = near;
    to.to = from.from = far;
    printf("pty: %s\n", ptsname(near));
    fflush(stdout);
    for (;;) {
        const int busy = to.waiting + to.arrived + from.waiting + from.arrived > 0;
        struct pollfd lines[2] = {{.fd = near, .events = to.waiting < FIFO ? POLLIN : 0},
                                  {.fd = far, .events = from.waiting < FIFO ? POLLIN : 0}};

        if (busy) {
            const struct timespec tick = {.tv_nsec = 1000 * TICK_US};

            nanosleep(&tick, NULL);
        }
        if (poll(lines, 2, busy ? 0 : -1) < 0 && errno != EINTR) {
            die("poll");
        }
        take(&to);
        take(&from);
        carry(&to, byte_seconds);
        carry(&from, byte_seconds);
    }
}
