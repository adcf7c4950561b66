#include "agent/cause.h"

#include <stdbool.h>
#include <string.h>

/* What a model server still says after its worker's last words: that the worker exits, that it shuts down, why. */
enum { LINES_AFTER = 8 };

static const char traceback[] = "Traceback (most recent call last):";

/* Takes the first line off; false when there is none. */
static bool next_line(struct str *text, struct str *ret_line)
{
    const char *end;

    if (!text->size)
        return false;
    end = memchr(text->data, '\n', text->size);
    *ret_line = (struct str){ text->data, end ? (size_t)(end - text->data) : text->size };
    *text = (struct str){ text->data + ret_line->size + (end != NULL), text->size - ret_line->size - (end != NULL) };
    return true;
}

struct str cause_in(struct str text)
{
    struct str line, last = STR(""), exception = STR("");
    bool within = false;
    int after = 0;

    while (next_line(&text, &line)) {
        struct str words = str_trim(line);

        if (!words.size)
            continue;
        last = words;
        after++;
        if (words.size >= strlen(traceback) &&
            memcmp(words.data + words.size - strlen(traceback), traceback, strlen(traceback)) == 0) {
            within = true;
        } else if (within && line.data[0] != ' ' && line.data[0] != '\t') {
            within = false;
            exception = words;
            after = 0;
        }
    }
    return exception.size && after <= LINES_AFTER ? exception : last;
}
