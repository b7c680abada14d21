/* TFLite Micro calls a profiler around each operator: when one has ended, its outputs are still as it wrote them. */
#ifdef WITH_LAYERS

#include <cstddef>
#include <cstdint>
#include <new>

#include "model.h"
#include "model_data.h"
#include "profiler.h"
#include "runtime.h"
#include "tensorflow/lite/micro/compatibility.h"
#include "tensorflow/lite/micro/memory_helpers.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace
{

runtime_after_t *shown;
unsigned begun; /* operators begun: those of a subgraph lie within the one that runs it */
uint32_t ended; /* operators of the model itself that have ended */

void show(int32_t index)
{
    const TfLiteContext *context = runtime_context();
    const TfLiteEvalTensor *tensor = context->GetEvalTensor(context, index);
    size_t bytes = 0;

    if (tensor != nullptr && tflite::TfLiteEvalTensorByteLength(tensor, &bytes) == kTfLiteOk) {
        shown(tensor->data.data, static_cast<uint32_t>(bytes));
    }
}

void show_outputs(uint32_t place)
{
    const auto *node = tflite::GetModel(MODEL_DATA)->subgraphs()->Get(0)->operators()->Get(place);

    for (int32_t index : *node->outputs()) {
        show(index);
    }
}

class Profiler : public tflite::MicroProfilerInterface
{
  public:
    uint32_t BeginEvent(const char *) override
    {
        return begun++;
    }

    void EndEvent(uint32_t event) override
    {
        begun = event;
        if (begun == 0) {
            if (shown != nullptr) {
                show_outputs(ended);
            }
            ended++;
        }
    }

  private:
    TF_LITE_REMOVE_VIRTUAL_DELETE
};

alignas(Profiler) uint8_t profiler_place[sizeof(Profiler)];

} // namespace

tflite::MicroProfilerInterface *layers_profiler()
{
    return new (profiler_place) Profiler;
}

const char *runtime_layers(const int8_t *input, int8_t *output, runtime_after_t *after)
{
    shown = after;
    begun = 0;
    ended = 0;
    const char *fault = runtime_run(input, output);
    shown = nullptr;
    if (fault == nullptr && ended == 0) {
        return "this TFLite Micro was built without its profiler (TF_LITE_STRIP_ERROR_STRINGS)";
    }
    return fault;
}

#endif
