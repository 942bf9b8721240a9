/*
 * A file that appears under its name only when it is whole: written piece by piece to a temporary
 * file beside it, then renamed over it. What stood there before stays until then.
 */
#ifndef WR_NEW_FILE_H
#define WR_NEW_FILE_H

#include "base/allocate.h"

typedef struct wr_new_file wr_new_file;

/* Every failure is one sentence that names the path. A folder or a device is refused at once. */
weir_status wr_new_file_open(const char *path, const weir_allocator *allocator, wr_new_file **out,
                             weir_error *error);
weir_status wr_new_file_write(wr_new_file *file, const void *data, size_t size, weir_error *error);
weir_status wr_new_file_commit(wr_new_file *file, weir_error *error); /* fsync, rename; once */
void wr_new_file_close(wr_new_file *file); /* without commit nothing is left behind */

const char *wr_new_file_path(const wr_new_file *file);

#endif
