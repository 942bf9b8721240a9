/*
 * Where an axis has ticks, and what they say: round numbers, with k, M, G, T for thousands and on
 * from 10k, as powers of ten where the zeros could not be counted.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plot/axis.h"

enum { POWER = 20 }; /* bytes of "10" raised to three digits, three bytes each */

static void add_tick(wr_plot_axis *axis, double value, const char *text) {
    double slack = 1e-9;
    double share = wr_plot_axis_share(axis, value);
    if (!(share >= -slack && share <= 1 + slack) || axis->tick_count == WR_PLOT_TICKS) return;
    wr_plot_tick *tick = &axis->ticks[axis->tick_count++];
    tick->value = value;
    snprintf(tick->text, sizeof tick->text, "%s", text);
}

/* Without the zeros that end a fraction. */
static void trim(char *text) {
    if (strchr(text, '.') == NULL) return;
    char *last = text + strlen(text) - 1;
    while (*last == '0') *last-- = '\0';
    if (*last == '.') *last = '\0';
}

/* "10" and `exponent` as small raised digits. */
static void power_text(char out[POWER], int base, int exponent) {
    static const char *const raised[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    char digits[12];
    snprintf(digits, sizeof digits, "%d", exponent < 0 ? -exponent : exponent);
    int used = snprintf(out, POWER, "%d%s", base, exponent < 0 ? "⁻" : "");
    for (const char *digit = digits; *digit != '\0'; digit++)
        used += snprintf(out + used, POWER - (size_t)used, "%s", raised[*digit - '0']);
}

/* `value` among ticks that are `step` apart and at most `largest`. */
static void linear_text(char out[40], double value, double step, double largest) {
    int finest = (int)floor(log10(step) + 1e-6); /* the power of ten of the last digit */
    if (fabs(value) < step / 2) {
        strcpy(out, "0");
    } else if (largest >= 1e15 || largest < 1e-3) {
        int power = (int)floor(log10(largest) + 1e-9);
        char ten[POWER];
        power_text(ten, 10, power);
        /* in two steps: 10^power alone may be beyond a double's smallest */
        double mantissa = value / pow(10, power / 2) / pow(10, power - power / 2);
        int decimals = power - finest;
        snprintf(out, 40, "%.*f", decimals < 0 ? 0 : decimals > 11 ? 11 : decimals, mantissa);
        size_t used = strlen(out);
        snprintf(out + used, 40 - used, "×%s", ten);
    } else {
        static const char units[] = " kMGT";
        int unit = 0;
        while (largest >= 1e4 && unit < 4 && fabs(value) >= pow(10, 3 * unit + 3) * (1 - 1e-9))
            unit++;
        int decimals = 3 * unit - finest;
        snprintf(out, 36, "%.*f", decimals < 0 ? 0 : decimals, value / pow(10, 3 * unit));
        if (unit > 0) {
            trim(out);
            strncat(out, units + unit, 1);
        }
    }
}

static void linear_ticks(wr_plot_axis *axis, int wanted) {
    double raw = (axis->high - axis->low) / wanted;
    double power = pow(10, floor(log10(raw)));
    double digit = raw / power;
    double step = (digit <= 1.0001 ? 1 : digit <= 2.0001 ? 2 : digit <= 5.0001 ? 5 : 10) * power;
    double largest = fmax(fabs(axis->low), fabs(axis->high));
    double first = ceil(axis->low / step - 1e-6), last = floor(axis->high / step + 1e-6);
    for (int n = 0; n < WR_PLOT_TICKS && first + n <= last; n++) {
        char text[40];
        double i = first + n;
        linear_text(text, i * step, step, largest);
        add_tick(axis, i * step, text);
    }
}

/* digit * 10^power */
static void decade_text(char out[40], int digit, int power) {
    static const char units[] = "kMGT";
    double value = digit * pow(10, power);
    if (power >= -3 && power < 4) {
        snprintf(out, 40, "%.*f", power < 0 ? -power : 0, value);
    } else if (power >= 4 && power < 15) {
        snprintf(out, 40, "%.0f%c", value / pow(10, power / 3 * 3), units[power / 3 - 1]);
    } else {
        char ten[POWER];
        power_text(ten, 10, power);
        if (digit == 1)
            snprintf(out, 40, "%s", ten);
        else
            snprintf(out, 40, "%d×%s", digit, ten);
    }
}

/* Which digits of a decade have text: as many as there is room for. */
static bool digit_has_text(int digit, double per_decade) {
    if (digit == 1) return true;
    if (per_decade >= 7) return true;
    if (per_decade >= 2.5) return digit == 2 || digit == 5;
    return per_decade >= 1.8 && digit == 3;
}

static void decade_ticks(wr_plot_axis *axis, int wanted) {
    int first = (int)floor(log10(axis->low) - 1e-9), last = (int)ceil(log10(axis->high) + 1e-9);
    double decades = log10(axis->high) - log10(axis->low);
    int stride = (int)ceil((decades - 1e-9) / wanted);
    stride = stride < 1 ? 1 : stride;
    for (int power = first; power <= last; power++) {
        if (power % stride != 0) {
            if (decades <= 20) add_tick(axis, pow(10, power), "");
            continue;
        }
        for (int digit = 1; digit <= 9; digit++) {
            char text[40] = "";
            if (digit > 1 && (stride > 1 || decades > 8)) break;
            if (digit_has_text(digit, wanted / decades)) decade_text(text, digit, power);
            add_tick(axis, digit * pow(10, power), text);
        }
    }
}

static void doubling_ticks(wr_plot_axis *axis, int wanted) {
    int first = (int)ceil(log2(axis->low) - 1e-9), last = (int)floor(log2(axis->high) + 1e-9);
    int stride = (last - first + wanted) / wanted;
    stride = stride < 1 ? 1 : stride;
    for (int power = first; power <= last; power += stride) {
        char text[40];
        if (power >= -3 && power < 17)
            snprintf(text, sizeof text, "%.*f", power < 0 ? -power : 0, exp2(power));
        else
            power_text(text, 2, power);
        add_tick(axis, exp2(power), text);
    }
}

void wr_plot_axis_ticks(wr_plot_axis *axis, int wanted) {
    wanted = wanted < 2 ? 2 : wanted;
    axis->tick_count = 0;
    double ratio = axis->scale == WEIR_PLOT_LINEAR ? 0 : axis->high / axis->low;
    if (ratio >= 3 && axis->scale == WEIR_PLOT_LOG)
        decade_ticks(axis, wanted);
    else if (ratio >= 2 && axis->scale == WEIR_PLOT_LOG2)
        doubling_ticks(axis, wanted);
    else
        linear_ticks(axis, wanted); /* also on a log axis too short for a decade's ticks */
}
