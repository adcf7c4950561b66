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
        if (str_ends(words, traceback)) {
            within = true;
        } else if (within && str_starts(line, "File \"")) {
            /* Somebody strips what he passes on: frames are not told from what follows them, but by being before it. */
            within = false;
            exception = STR("");
        } else if (within && line.data[0] != ' ' && line.data[0] != '\t') {
            within = false;
            exception = words;
            after = 0;
        }
    }
    return exception.size && after <= LINES_AFTER ? exception : last;
}

struct str cause_of_called(struct str log)
{
    struct str rest = log, line, before = STR("");

    while (next_line(&rest, &line))
        if (str_ends(str_trim(line), traceback))
            before = (struct str){ log.data, (size_t)(line.data - log.data) };
    return cause_in(before);
}
