/*
 * A model of the llama family with its weights decoded to F32: what it computes without rounding
 * its inputs.
 */
#ifndef DECODED_MODEL_H
#define DECODED_MODEL_H

enum { DECODED_PATH = 64 };

/* Write the decoded copy of the model at `path` to a new temporary file, which the caller unlinks.
 * It has no vocabulary: feed tokens. Fails the test when that cannot be. */
void decoded_model(const char *path, char out[DECODED_PATH]);

#endif
