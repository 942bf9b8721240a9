/* Standard output and files, with every write checked. */
#include "common/output.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static weir_status output_failed(weir_error *error) {
    if (errno == EPIPE) { /* `weir run ... | head`: not worth a word */
        return weir_error_set(error, WEIR_IO, "%s", "");
    }
    return weir_error_set(error, WEIR_IO, "standard output: %s", strerror(errno));
}

weir_status output_flush(weir_error *error) {
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return output_failed(error);
    }
    return WEIR_OK;
}

weir_status output_text(const char *text, size_t size, weir_error *error) {
    if (fwrite(text, 1, size, stdout) != size) {
        return output_failed(error);
    }
    return output_flush(error);
}

weir_status output_json(json_t *value, weir_error *error) {
    if (value == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for the JSON output");
    }
    char *text = json_dumps(value, JSON_REAL_PRECISION(12) | JSON_ENCODE_ANY);
    json_decref(value);
    if (text == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for the JSON output");
    }
    bool written = fputs(text, stdout) >= 0 && fputc('\n', stdout) >= 0;
    weir_status status = written ? output_flush(error) : output_failed(error);
    free(text);
    return status;
}

weir_status output_json_beside(json_t *object, const weir_error *failed, weir_error *error) {
    if (failed != NULL) {
        json_object_set_new(object, "error",
                            json_pack("{s:s,s:o}", "status", weir_status_name(failed->status),
                                      "message", json_word(failed->message)));
    }
    return output_json(object, error);
}

/* Bytes of the well-formed UTF-8 character at `text`, or 0 (Unicode, table 3-7). */
static size_t character(const unsigned char *text, size_t size) {
    unsigned char first = text[0];
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length == 0 || length > size || first > 0xf4) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool bad = (first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) ||
               (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f);
    return bad ? 0 : length;
}

json_t *json_text(const char *text, size_t size) {
    json_t *string = json_stringn(size > 0 ? text : "", size);
    if (string != NULL) {
        return string;
    }
    char *clean = malloc(size * 3 + 1);
    if (clean == NULL) {
        return NULL;
    }
    size_t used = 0;
    for (size_t i = 0; i < size;) {
        size_t length = character((const unsigned char *)text + i, size - i);
        if (length > 0) {
            memcpy(clean + used, text + i, length);
            used += length;
            i += length;
        } else {
            memcpy(clean + used, "\xef\xbf\xbd", 3);
            used += 3;
            i++;
        }
    }
    string = json_stringn(clean, used);
    free(clean);
    return string;
}

json_t *json_word(const char *text) { return json_text(text, strlen(text)); }

json_t *json_number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

/* ---- files ----------------------------------------------------------------------------------- */

weir_status output_check_path(const char *path, weir_error *error) {
    struct stat info;
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
    bool good = folder != NULL && access(folder, W_OK | X_OK) == 0;
    if (good && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        errno = EISDIR;
        good = false;
    }
    free(folder);
    return good
               ? WEIR_OK
               : weir_error_set(error, WEIR_IO, "%s: cannot be written: %s", path, strerror(errno));
}

static weir_status file_failed(const output_file *out, weir_error *error) {
    return weir_error_set(error, WEIR_IO, "%s: cannot be written: %s", out->path, strerror(errno));
}

weir_status output_file_open(output_file *out, const char *path, weir_error *error) {
    *out = (output_file){.path = path};
    struct stat info;
    bool exists = stat(path, &info) == 0;
    if (exists && !S_ISREG(info.st_mode)) {
        out->file = fopen(path, "wb"); /* fails as it should on a folder */
        return out->file != NULL ? WEIR_OK : file_failed(out, error);
    }
    out->target = exists ? realpath(path, NULL) : strdup(path);
    if (out->target == NULL || asprintf(&out->temporary, "%s.XXXXXX", out->target) < 0) {
        out->temporary = NULL;
        return file_failed(out, error);
    }
    int fd = mkostemp(out->temporary, O_CLOEXEC);
    if (fd < 0) {
        free(out->temporary);
        out->temporary = NULL;
        return file_failed(out, error);
    }
    mode_t mask = umask(0);
    umask(mask);
    out->file = fdopen(fd, "wb");
    if (out->file == NULL || fchmod(fd, exists ? info.st_mode & 07777 : 0666 & ~mask) != 0) {
        return file_failed(out, error);
    }
    return WEIR_OK;
}

weir_status output_file_write(output_file *out, const void *data, size_t size, weir_error *error) {
    return fwrite(data, 1, size, out->file) == size ? WEIR_OK : file_failed(out, error);
}

weir_status output_file_commit(output_file *out, weir_error *error) {
    bool whole = fflush(out->file) == 0 && !ferror(out->file);
    if (whole && out->temporary != NULL) {
        whole = fsync(fileno(out->file)) == 0;
    }
    if (!whole) {
        return file_failed(out, error);
    }
    int closed = fclose(out->file);
    out->file = NULL;
    if (closed != 0 || (out->temporary != NULL && rename(out->temporary, out->target) != 0)) {
        return file_failed(out, error);
    }
    free(out->temporary);
    out->temporary = NULL;
    return WEIR_OK;
}

void output_file_close(output_file *out) {
    if (out->file != NULL) {
        fclose(out->file);
    }
    if (out->temporary != NULL) {
        unlink(out->temporary);
    }
    free(out->temporary);
    free(out->target);
    *out = (output_file){0};
}
