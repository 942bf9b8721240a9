/*
 * Names that a file gave: checked before they are used, and made safe before they are printed.
 */
#ifndef WR_NAME_H
#define WR_NAME_H

#include "base/bytes.h"

/* What is wrong with a name, as the end of a sentence ("is empty", "is not valid UTF-8"), or NULL:
 * a name has 1 ... limit bytes of UTF-8 without control characters. */
const char *wr_name_flaw(wr_string name, size_t limit);

/* A name between quotes for a message: anything but printable ASCII is escaped, and a long name is
 * cut. Returned by value, so that wr_name_quote(name).text can stand among printf's arguments. */
typedef struct wr_quoted {
    char text[84];
} wr_quoted;

wr_quoted wr_name_quote(wr_string name);

#endif
