/* Percentiles of durations against figures worked out by hand; the machine's limits exist. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "weir/machine.h"

static void test_percentiles(void **state) {
    (void)state;
    double four[] = {4, 1, 3, 2};
    weir_times times;
    weir_times_sum_up(four, 4, &times);
    assert_int_equal(times.count, 4);
    assert_true(times.mean == 2.5 && times.p50 == 2.5 && times.slowest == 4);
    assert_true(fabs(times.p90 - 3.7) < 1e-12 && fabs(times.p99 - 3.97) < 1e-12);
    assert_true(four[0] == 1 && four[3] == 4);

    double hundred[101]; /* backwards, so that percentile p is p */
    for (int i = 0; i <= 100; i++) hundred[i] = 100 - i;
    weir_times_sum_up(hundred, 101, &times);
    assert_true(times.p50 == 50 && fabs(times.p90 - 90) < 1e-9 && fabs(times.p99 - 99) < 1e-9);
    assert_true(times.mean == 50 && times.slowest == 100);
}

static void test_one_value_and_none(void **state) {
    (void)state;
    double one = 7;
    weir_times times;
    weir_times_sum_up(&one, 1, &times);
    assert_true(times.p50 == 7 && times.p90 == 7 && times.p99 == 7 && times.slowest == 7);
    weir_times_sum_up(NULL, 0, &times);
    assert_int_equal(times.count, 0);
    assert_true(isnan(times.mean) && isnan(times.p50) && isnan(times.slowest));
}

/* However the values round, the order of the percentiles holds. */
static void test_order(void **state) {
    (void)state;
    uint64_t random = 1;
    for (int64_t count = 1; count < 400; count++) {
        double values[400];
        for (int64_t i = 0; i < count; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            values[i] = i % 3 == 0 ? 0.1 : (double)(random >> 11) * 0x1p-53;
        }
        weir_times times;
        weir_times_sum_up(values, count, &times);
        assert_true(values[0] <= times.p50 && times.p50 <= times.p90 && times.p90 <= times.p99 &&
                    times.p99 <= times.slowest);
    }
}

static void test_machine(void **state) {
    (void)state;
    weir_machine machine;
    weir_error error;
    for (int threads = 1; threads <= 3; threads++) {
        weir_status status = weir_machine_measure("scalar", threads, 0.001, &machine, &error);
        if (status == WEIR_MEMORY) skip();
        assert_int_equal(status, WEIR_OK);
        assert_string_equal(machine.cpu, "scalar");
        assert_int_equal(machine.threads, threads);
        assert_true(machine.read_bytes > 0 && machine.float_operations > 0);
        assert_true(machine.int8_operations == 0 && machine.tile_operations == 0);
    }
    assert_int_equal(weir_machine_measure(NULL, 0, 0.001, &machine, &error), WEIR_OK);
    assert_true(machine.threads >= 1 && machine.float_operations > 0);
    assert_true(machine.int8_operations >= 0 && machine.tile_operations >= 0);
    assert_true(machine.tile_operations == 0 || strcmp(machine.cpu, "amx") == 0);
}

static void test_refusals(void **state) {
    (void)state;
    weir_machine machine;
    weir_error error;
    assert_int_equal(weir_machine_measure("turbo", 1, 0.001, &machine, &error), WEIR_USAGE);
    assert_non_null(strstr(error.message, "turbo"));
    assert_int_equal(weir_machine_measure(NULL, -1, 0.001, &machine, &error), WEIR_USAGE);
    assert_int_equal(weir_machine_measure(NULL, 257, 0.001, &machine, &error), WEIR_USAGE);
    assert_int_equal(weir_machine_measure(NULL, 1, 0, &machine, &error), WEIR_USAGE);
    assert_int_equal(weir_machine_measure(NULL, 1, (double)NAN, &machine, NULL), WEIR_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percentiles), cmocka_unit_test(test_one_value_and_none),
        cmocka_unit_test(test_order),       cmocka_unit_test(test_machine),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
