/* Between the interpreter (runtime.cc) and what looks at its operators (layers.cc). */
#ifndef PROFILER_H
#define PROFILER_H

#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_profiler_interface.h"

/* What the interpreter gives its kernels: it knows every tensor. Not before runtime_start(). */
const TfLiteContext *runtime_context();

/* What the interpreter is to call around each operator. */
tflite::MicroProfilerInterface *layers_profiler();

#endif
