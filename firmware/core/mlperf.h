/* MLPerf Tiny's text commands on the same line as the frames: for firmware built WITH_MLPERF. */
#ifndef MLPERF_H
#define MLPERF_H

#include <stdint.h>

/* `window` is where a window is loaded to, its bytes are the session's too; `fault` as in session_start(). */
void mlperf_start(int8_t *window, const char *fault);

/* Answer a command, without its '%'; the line is cut into words. */
void mlperf_obey(char *line);

/* A frame has come, so what was loaded is gone. */
void mlperf_forget(void);

#endif
