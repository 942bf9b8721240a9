/* Linear biases: see alibi.h. */
#include "position/alibi.h"

#include <math.h>

double wr_alibi_slope(int32_t head, int32_t heads, double bias) {
    int32_t whole = 1; /* n */
    while (whole <= heads / 2) whole *= 2;
    if (head < whole) return exp2(-bias * (head + 1) / whole);
    return exp2(-bias * (2 * (head - whole) + 1) / (2.0 * whole));
}
