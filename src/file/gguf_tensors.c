/*
 * The directory of tensors: read, and proved to point inside the file.
 *
 * Afterwards every tensor's bytes lie within the data, begin at a multiple of the alignment and
 * overlap no other tensor's. A tensor in a format that weir does not know has no known size: it is
 * kept, so that a person can be told of it, without data.
 */
#include "file/gguf_inside.h"

static weir_status read_dims(const wr_gguf *gguf, wr_reader *reader, wr_gguf_tensor *tensor,
                             weir_error *error) {
    uint32_t dims = wr_read_u32(reader);
    if (reader->failed) return WEIR_OK;
    if (dims < 1 || dims > WR_GGUF_MAX_DIMS)
        return wr_gguf_fail(gguf, error, dims == 0 ? WEIR_DAMAGED : WEIR_UNSUPPORTED,
                            "tensor %s has %lu dimensions, where weir reads 1 to %d",
                            wr_name_quote(tensor->name).text, (unsigned long)dims,
                            WR_GGUF_MAX_DIMS);
    tensor->dims = (int32_t)dims;
    int64_t elements = 1;
    for (uint32_t i = 0; i < WR_GGUF_MAX_DIMS; i++) {
        uint64_t dim = i < dims ? wr_read_u64(reader) : 1;
        if (reader->failed) return WEIR_OK;
        if (dim < 1 || dim > (uint64_t)(INT64_MAX / elements))
            return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                                "dimension %lu of tensor %s is %llu, which is %s: the file is "
                                "damaged",
                                (unsigned long)i, wr_name_quote(tensor->name).text,
                                (unsigned long long)dim, dim < 1 ? "empty" : "too large");
        tensor->dim[i] = (int64_t)dim;
        elements *= (int64_t)dim;
    }
    return WEIR_OK;
}

/* The format, and with it the bytes: the elements were found not to overflow. */
static weir_status read_format(const wr_gguf *gguf, wr_reader *reader, wr_gguf_tensor *tensor,
                               weir_error *error) {
    tensor->number = wr_read_u32(reader);
    if (reader->failed) return WEIR_OK;
    const wr_format_info *info = wr_format_find(tensor->number);
    tensor->foreign = info == NULL;
    if (tensor->foreign) return WEIR_OK;
    tensor->format = info->format;
    if (tensor->dim[0] % info->block != 0)
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "tensor %s has rows of %lld weights, where %s comes in blocks of %d: "
                            "the file is damaged",
                            wr_name_quote(tensor->name).text, (long long)tensor->dim[0], info->name,
                            (int)info->block);
    int64_t blocks =
        tensor->dim[0] / info->block * tensor->dim[1] * tensor->dim[2] * tensor->dim[3];
    if ((uint64_t)blocks > SIZE_MAX ||
        !wr_multiply_size((size_t)blocks, (size_t)info->bytes, &tensor->bytes))
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "tensor %s has %lld blocks, more bytes than can be counted: the file "
                            "is damaged",
                            wr_name_quote(tensor->name).text, (long long)blocks);
    return WEIR_OK;
}

static weir_status read_tensor(wr_gguf *gguf, wr_reader *reader, weir_error *error) {
    wr_gguf_entry *entry = wr_named_list_add(&gguf->tensors);
    if (entry == NULL) return wr_gguf_no_memory(gguf, error);
    size_t at = reader->at;
    entry->tensor.name = wr_gguf_read_string(reader);
    const char *flaw = reader->failed ? NULL : wr_name_flaw(entry->tensor.name, WR_GGUF_NAME_LIMIT);
    if (flaw != NULL)
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "tensor %zu (at byte %zu) is called %s, which %s: the file is damaged",
                            gguf->tensors.count, at, wr_name_quote(entry->tensor.name).text, flaw);
    weir_status status = read_dims(gguf, reader, &entry->tensor, error);
    if (status == WEIR_OK) status = read_format(gguf, reader, &entry->tensor, error);
    if (status != WEIR_OK) return status;
    entry->offset = wr_read_u64(reader);
    if (reader->failed)
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "the directory ends within tensor %zu (at byte %zu): the file is "
                            "incomplete or damaged, so copy it again",
                            gguf->tensors.count, at);
    return WEIR_OK;
}

/* Turn an offset into a pointer. `start` is where the data begins; it may lie past the file's end
 * when the padding is missing. */
static weir_status place(const wr_gguf *gguf, size_t start, wr_gguf_entry *entry,
                         weir_error *error) {
    wr_gguf_tensor *tensor = &entry->tensor;
    if (entry->offset % gguf->alignment != 0)
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "tensor %s begins at offset %llu, which is no multiple of the "
                            "alignment %zu: the file is damaged",
                            wr_name_quote(tensor->name).text, (unsigned long long)entry->offset,
                            gguf->alignment);
    size_t room = start < gguf->size ? gguf->size - start : 0;
    if (entry->offset > room || tensor->bytes > room - entry->offset)
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "tensor %s (%zu bytes at offset %llu) lies past the end of the file, "
                            "which has %zu bytes of data: it is incomplete, so copy it again",
                            wr_name_quote(tensor->name).text, tensor->bytes,
                            (unsigned long long)entry->offset, room);
    if (!tensor->foreign) tensor->data = gguf->data + start + (size_t)entry->offset;
    return WEIR_OK;
}

static const wr_gguf_entry *entry_at(const wr_gguf *gguf, uint32_t i) {
    return wr_named_list_at(&gguf->tensors, i);
}

static bool begins_before(const void *context, uint32_t a, uint32_t b) {
    return entry_at(context, a)->offset < entry_at(context, b)->offset;
}

static weir_status check_overlap(const wr_gguf *gguf, weir_error *error) {
    size_t count = gguf->tensors.count;
    if (count < 2) return WEIR_OK;
    uint32_t *order = wr_allocate_array(gguf->allocator, count, sizeof *order);
    if (order == NULL) return wr_gguf_no_memory(gguf, error);
    wr_order_sort(order, count, begins_before, gguf);
    const wr_gguf_entry *before = NULL; /* the last that has bytes */
    weir_status status = WEIR_OK;
    for (size_t i = 0; i < count && status == WEIR_OK; i++) {
        const wr_gguf_entry *entry = entry_at(gguf, order[i]);
        if (entry->tensor.foreign) continue;
        if (before != NULL && entry->offset - before->offset < before->tensor.bytes)
            status = wr_gguf_fail(
                gguf, error, WEIR_DAMAGED, "tensors %s and %s share bytes: the file is damaged",
                wr_name_quote(before->tensor.name).text, wr_name_quote(entry->tensor.name).text);
        before = entry;
    }
    wr_release(gguf->allocator, order, count * sizeof *order);
    return status;
}

static weir_status sort_names(wr_gguf *gguf, weir_error *error) {
    size_t twin = 0;
    if (!wr_named_list_sort(&gguf->tensors, &twin)) return wr_gguf_no_memory(gguf, error);
    if (twin == gguf->tensors.count) return WEIR_OK;
    const wr_gguf_tensor *tensor = wr_named_list_at(&gguf->tensors, twin);
    return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                        "tensor %s stands in it twice: the file is damaged",
                        wr_name_quote(tensor->name).text);
}

weir_status wr_gguf_read_tensors(wr_gguf *gguf, wr_reader *reader, size_t count,
                                 weir_error *error) {
    if (!wr_named_list_init(&gguf->tensors, gguf->allocator, sizeof(wr_gguf_entry), count))
        return wr_gguf_no_memory(gguf, error);
    weir_status status = WEIR_OK;
    for (size_t i = 0; i < count && status == WEIR_OK; i++)
        status = read_tensor(gguf, reader, error);
    if (status == WEIR_OK) status = sort_names(gguf, error);
    /* A mapping ends well before SIZE_MAX, so this cannot wrap. */
    size_t start = (reader->at + gguf->alignment - 1) / gguf->alignment * gguf->alignment;
    for (size_t i = 0; i < count && status == WEIR_OK; i++)
        status = place(gguf, start, wr_named_list_at(&gguf->tensors, i), error);
    return status == WEIR_OK ? check_overlap(gguf, error) : status;
}
