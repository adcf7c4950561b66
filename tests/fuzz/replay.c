/* replay.c - runs a fuzz target once over each kept file: what broke a parser once stays mended.
 *
 * Linked instead of libFuzzer, so that the test suite needs no clang. Arguments are files. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        uint8_t *data;
        size_t size;

        if (!f) {
            perror(argv[i]);
            return 1;
        }
        fseek(f, 0, SEEK_END);
        size = (size_t)ftell(f);
        rewind(f);
        /* Exactly as long as the file: one byte read too far is then seen by the sanitizer. */
        data = malloc(size ? size : 1);
        if (!data || fread(data, 1, size, f) != size) {
            perror(argv[i]);
            return 1;
        }
        fclose(f);
        fprintf(stderr, "%s\n", argv[i]);
        LLVMFuzzerTestOneInput(data, size);
        free(data);
    }
    return 0;
}
