/* How much text each token stands for: see token_sizes.h. */
#include "train/data/token_sizes.h"

#include "text/vocab_inside.h" /* the bytes of a token, before they are put together to characters */

static wr_token_size size_of(const wr_vocab *vocab, int32_t token, char *room) {
    wr_token_size size = {0};
    if (wr_vocab_type(vocab, token) == WR_TOKEN_CONTROL) return size;
    size.bytes = (uint32_t)vocab->kind->decode(vocab, token, room);
    for (uint32_t i = 0; i < size.bytes; i++) size.characters += ((uint8_t)room[i] & 0xC0) != 0x80;
    size.begins_with_space = wr_vocab_adds_space(vocab) && size.bytes > 0 && room[0] == ' ';
    return size;
}

bool wr_token_sizes_init(wr_token_sizes *sizes, const wr_vocab *vocab,
                         const weir_allocator *allocator) {
    sizes->count = wr_vocab_size(vocab);
    sizes->list = wr_allocate_array(allocator, (size_t)sizes->count, sizeof *sizes->list);
    char *room = wr_allocate(allocator, wr_vocab_longest(vocab));
    bool enough = sizes->list && room;
    for (int32_t i = 0; enough && i < sizes->count; i++) sizes->list[i] = size_of(vocab, i, room);
    wr_release(allocator, room, wr_vocab_longest(vocab));
    return enough;
}

void wr_token_sizes_deinit(wr_token_sizes *sizes, const weir_allocator *allocator) {
    wr_release(allocator, sizes->list, (size_t)sizes->count * sizeof *sizes->list);
    *sizes = (wr_token_sizes){0};
}
