/* What TensorFlow Lite Micro says through MicroPrintf, kept as text for the ERROR frame. */
#ifndef WORDS_H
#define WORDS_H

/* Forget what was said. */
void words_clear();

/* All that was said since, its lines joined by "; ", or `otherwise` when that was nothing. */
const char *words_said(const char *otherwise);

#endif
