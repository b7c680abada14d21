/* nn_small.h for AVR: a product byte by byte, and 16 bits for what comes of it. */
#ifndef NN_SMALL_H
#define NN_SMALL_H

#include "nn_output.h"

#define NN_SMALL_PRODUCT(sum, multiplier, low, high, carry)                                                            \
    "mul %" sum "[sum], %" multiplier "[multiplier]\n\t"                                                               \
    "add " low ", r0\n\t"                                                                                              \
    "adc " high ", r1\n\t"                                                                                             \
    "adc " carry ", %[zero]\n\t"

/* round(sum * multiplier / 2^31 / 2^right), both times halves away from zero, which are 16 bits. right: [2, 19] */
static inline int16_t nn_small_scaled(__int24 sum, int32_t multiplier, uint8_t right)
{
    uint32_t high = 0;
    uint16_t low = 0;
    const uint8_t zero = 0;
    __asm__(
        "mul %A[sum], %A[multiplier]\n\t"
        "mov %A[low], r1\n\t" /* what follows is of the second byte of the product, the third, ... */
        NN_SMALL_PRODUCT("A", "B", "%A[low]", "%B[low]", "%A[high]") NN_SMALL_PRODUCT(
            "B", "A", "%A[low]", "%B[low]",
            "%A[high]") NN_SMALL_PRODUCT("A", "C", "%B[low]", "%A[high]",
                                         "%B[high]") NN_SMALL_PRODUCT("B", "B", "%B[low]", "%A[high]", "%B[high]")
            NN_SMALL_PRODUCT("C", "A", "%B[low]", "%A[high]", "%B[high]") NN_SMALL_PRODUCT(
                "A", "D", "%A[high]", "%B[high]",
                "%C[high]") NN_SMALL_PRODUCT("B", "C", "%A[high]", "%B[high]",
                                             "%C[high]") NN_SMALL_PRODUCT("C", "B", "%A[high]", "%B[high]", "%C[high]")
                NN_SMALL_PRODUCT("B", "D", "%B[high]", "%C[high]", "%D[high]") NN_SMALL_PRODUCT(
                    "C", "C", "%B[high]", "%C[high]",
                    "%D[high]") "mul %C[sum], %D[multiplier]\n\t"
                                "add %C[high], r0\n\t"
                                "adc %D[high], r1\n\t"
                                "clr r1\n\t"
                                "sbrs %C[sum], 7\n\t"
                                "rjmp 1f\n\t"
                                "sub %A[high], %A[multiplier]\n\t" /* a negative sum was taken for one 2^24 larger */
                                "sbc %B[high], %B[multiplier]\n\t"
                                "sbc %C[high], %C[multiplier]\n\t"
                                "sbc %D[high], %D[multiplier]\n\t"
                                "1: subi %A[high], 0xC0\n\t" /* seven bits more than TFLite's product, which is rounded
                                                              */
                                "sbci %B[high], 0xFF\n\t"
                                "sbci %C[high], 0xFF\n\t"
                                "sbci %D[high], 0xFF\n\t"
                                "brpl 2f\n\t"
                                "subi %A[high], 0x80\n\t"
                                "sbci %B[high], 0\n\t"
                                "sbci %C[high], 0\n\t"
                                "sbci %D[high], 0\n\t"
                                "2: subi %[right], 2\n\t" /* the lowest byte is left out, and the last bit is rounded */
                                "breq 7f\n\t"
                                "cpi %[right], 4\n\t"
                                "brlo 6f\n\t"
                                "cpi %[right], 9\n\t"
                                "brsh 6f\n\t"
                                "subi %[right], 8\n\t" /* less far to the left, and two bytes are left out */
                                "breq 4f\n\t"
                                "3: lsl %A[high]\n\t"
                                "rol %B[high]\n\t"
                                "rol %C[high]\n\t"
                                "rol %D[high]\n\t"
                                "inc %[right]\n\t"
                                "brne 3b\n\t"
                                "4: mov %B[high], %C[high]\n\t"
                                "mov %C[high], %D[high]\n\t"
                                "rjmp 7f\n\t"
                                "6: asr %D[high]\n\t"
                                "ror %C[high]\n\t"
                                "ror %B[high]\n\t"
                                "dec %[right]\n\t"
                                "brne 6b\n\t"
                                "7: subi %B[high], 0xFF\n\t"
                                "sbci %C[high], 0xFF\n\t"
                                "asr %C[high]\n\t"
                                "ror %B[high]\n\t"
        : [high] "+&d"(high), [low] "+&r"(low), [right] "+d"(right)
        : [sum] "r"(sum), [multiplier] "r"(multiplier), [zero] "r"(zero)
        : "r0");
    return (int16_t)(high >> 8);
}

static inline int8_t nn_small_output(const nn_output_t *to, int32_t sum, int32_t multiplier, int8_t shift)
{
    const int8_t min = to->min, max = to->max;
    const int16_t offset = to->offset;
    if (sum < 0 && min >= offset) {
        return min; /* a ReLU, and nothing to compute */
    }
    const int16_t value = (int16_t)(nn_small_scaled((__int24)sum, multiplier, (uint8_t)-shift) + offset);
    return value < min ? min : value > max ? max : (int8_t)value;
}

#endif
