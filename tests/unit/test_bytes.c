/* base/bytes: the bounds-checked reader, the writer, the checksum. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "base/random.h"
#include "support/failing_allocator.h"

static void reader_reads_little_endian(void **state) {
    (void)state;
    static const uint8_t bytes[] = {0xfe, 0x01, 0x02, 0x01, 0x02, 0x03, 0x04, 1,    2,    3,
                                    4,    5,    6,    7,    8,    0,    0,    0xc0, 0x3f, 0,
                                    0,    0,    0,    0,    0,    0x04, 0xc0, 'e',  'n',  'd'};
    wr_reader reader = {.data = bytes, .size = sizeof bytes};
    assert_int_equal(wr_read_u8(&reader), 0xfe);
    assert_int_equal(wr_read_u16(&reader), 0x0201);
    assert_int_equal(wr_read_u32(&reader), 0x04030201);
    assert_true(wr_read_u64(&reader) == 0x0807060504030201u);
    assert_true(wr_read_f32(&reader) == 1.5f);
    assert_true(wr_read_f64(&reader) == -2.5);
    assert_memory_equal(wr_read_bytes(&reader, 3), "end", 3);
    assert_int_equal(wr_reader_left(&reader), 0);
    assert_non_null(wr_read_bytes(&reader, 0));
    assert_false(reader.failed);
}

static void reader_stops_at_its_end(void **state) {
    (void)state;
    static const uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const size_t too_many[] = {6, SIZE_MAX, SIZE_MAX - 2};
    for (size_t i = 0; i < 3; i++) {
        wr_reader reader = {.data = bytes, .size = sizeof bytes};
        wr_read_bytes(&reader, 3);
        assert_null(wr_read_bytes(&reader, too_many[i]));
        assert_true(reader.failed);
        assert_int_equal(reader.at, 3);
        assert_int_equal(wr_read_u8(&reader), 0); /* and stays failed */
        assert_int_equal(reader.at, 3);
    }
    wr_reader reader = {.data = bytes, .size = 7};
    assert_true(wr_read_u64(&reader) == 0);
    assert_true(reader.failed);
    wr_reader none = {0};
    assert_int_equal(wr_read_u8(&none), 0);
    assert_true(none.failed);
}

static void writer_writes_what_reader_reads(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory);
    wr_writer writer = {.allocator = &memory.allocator};
    for (uint32_t i = 0; i < 1000; i++) {
        wr_write_u8(&writer, (uint8_t)i);
        wr_write_u16(&writer, (uint16_t)(i * 3));
        wr_write_u32(&writer, i * 70001);
        wr_write_u64(&writer, i * UINT64_C(0x123456789ab));
        wr_write_f32(&writer, (float)i / 4);
        wr_write_zeros(&writer, i % 5);
        wr_write_bytes(&writer, "weir", i % 5);
    }
    assert_false(writer.failed);
    wr_reader reader = {.data = writer.data, .size = writer.size};
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(wr_read_u8(&reader), (uint8_t)i);
        assert_int_equal(wr_read_u16(&reader), (uint16_t)(i * 3));
        assert_int_equal(wr_read_u32(&reader), i * 70001);
        assert_true(wr_read_u64(&reader) == i * UINT64_C(0x123456789ab));
        assert_true(wr_read_f32(&reader) == (float)i / 4);
        for (uint32_t k = 0; k < i % 5; k++) assert_int_equal(wr_read_u8(&reader), 0);
        assert_memory_equal(wr_read_bytes(&reader, i % 5), "weir", i % 5);
    }
    assert_false(reader.failed);
    assert_int_equal(wr_reader_left(&reader), 0);
    wr_writer_release(&writer);
    assert_true(failing_allocator_clean(&memory));
}

static void writer_survives_the_lack_of_memory(void **state) {
    (void)state;
    for (int n = 1; n <= 4; n++) {
        failing_allocator memory;
        failing_allocator_init(&memory);
        memory.fail_at = n;
        wr_writer writer = {.allocator = &memory.allocator};
        for (uint64_t i = 0; i < 4096; i++) wr_write_u64(&writer, i);
        assert_true(writer.failed);
        assert_true(writer.size < 4096 * 8);
        wr_reader reader = {.data = writer.data, .size = writer.size};
        for (uint64_t i = 0; i < writer.size / 8; i++) assert_true(wr_read_u64(&reader) == i);
        wr_writer_release(&writer);
        wr_writer_release(&writer); /* twice is harmless */
        assert_true(failing_allocator_clean(&memory));
    }
    wr_writer writer = {0};
    wr_write_u8(&writer, 1);
    wr_write_zeros(&writer, SIZE_MAX);
    assert_true(writer.failed);
    assert_int_equal(writer.size, 1);
    wr_writer_release(&writer);
}

static void strings_compare_whole(void **state) {
    (void)state;
    wr_string word = {.data = "weirs", .size = 4};
    assert_true(wr_string_is(word, "weir"));
    assert_false(wr_string_is(word, "weirs"));
    assert_false(wr_string_is(word, "wei"));
    assert_true(wr_string_is((wr_string){0}, ""));
}

/* h -> h K + byte + 1, one byte at a time. */
static uint64_t slow_checksum(uint64_t h, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++) h = h * UINT64_C(0x9E3779B97F4A7C15) + data[i] + 1;
    return h;
}

static void checksum_stays_what_it_was(void **state) {
    (void)state;
    /* Files that exist hold such sums: these figures may never change. */
    assert_true(wr_checksum(0, "", 0) == 0);
    assert_true(wr_checksum(42, NULL, 0) == 42);
    assert_true(wr_checksum(0, "a", 1) == 98);
    assert_true(wr_checksum(0, "weir holds the level", 20) == UINT64_C(0xc6ea55175087e882));

    uint8_t data[203];
    for (size_t i = 0; i < sizeof data; i++) {
        uint32_t block[4];
        wr_random_block(5, 0, i, block);
        data[i] = (uint8_t)block[0];
    }
    for (size_t begin = 0; begin < 9; begin++) {
        for (size_t end = begin; end <= sizeof data; end++) {
            uint64_t whole = wr_checksum(9, data + begin, end - begin);
            assert_true(whole == slow_checksum(9, data + begin, end - begin));
            size_t middle = begin + (end - begin) / 3;
            uint64_t first = wr_checksum(9, data + begin, middle - begin);
            assert_true(whole == wr_checksum(first, data + middle, end - middle));
        }
    }
    uint64_t sum = wr_checksum(0, data, sizeof data);
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_true(wr_checksum(0, data, sizeof data) != sum);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    static const uint8_t zeros[64];
    assert_true(wr_checksum(0, zeros, 63) != wr_checksum(0, zeros, 64));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_reads_little_endian),
        cmocka_unit_test(reader_stops_at_its_end),
        cmocka_unit_test(writer_writes_what_reader_reads),
        cmocka_unit_test(writer_survives_the_lack_of_memory),
        cmocka_unit_test(strings_compare_whole),
        cmocka_unit_test(checksum_stays_what_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
