/*
 * Files as C arrays, for what a program carries with it.
 *
 *     embed OUT.c NAME FILE...    const struct { const char *name; const unsigned char *data;
 * size_t size; } NAME[], ended by a row of zeros; names without their folders
 */
#include <stdio.h>
#include <string.h>

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* The bytes of a file as numbers; how many, or -1. */
static long write_bytes(FILE *out, const char *path, int number) {
    FILE *in = fopen(path, "rb");
    long count = 0;
    int byte;
    if (in == NULL) return -1;
    fprintf(out, "static const unsigned char file_%d[] = {", number);
    while ((byte = getc(in)) != EOF) fprintf(out, "%s%d,", count++ % 32 == 0 ? "\n" : "", byte);
    fprintf(out, "0};\n\n"); /* never empty */
    const int failed = ferror(in);
    return fclose(in) != 0 || failed ? -1 : count;
}

int main(int count, char **arguments) {
    long sizes[256];
    FILE *out = count > 3 && count < 256 ? fopen(arguments[1], "wb") : NULL;
    if (out == NULL) {
        fprintf(stderr, "usage: embed OUT.c NAME FILE...\n");
        return 2;
    }
    fprintf(out, "#include \"api/embedded.h\"\n\n");
    for (int i = 3; i < count; i++) {
        sizes[i] = write_bytes(out, arguments[i], i);
        if (sizes[i] < 0) {
            perror(arguments[i]);
            return 1;
        }
    }
    fprintf(out, "const embedded_file %s[] = {\n", arguments[2]);
    for (int i = 3; i < count; i++)
        fprintf(out, "    {\"%s\", file_%d, %ld},\n", name_of(arguments[i]), i, sizes[i]);
    fprintf(out, "    {0, 0, 0}};\n");
    return fclose(out) == 0 ? 0 : 1;
}
