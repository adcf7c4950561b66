#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

static const char *program = "sagebrush";
static enum log_level least = LOG_INFO;

static const char *const level_names[] = { "debug", "info", "warning", "error" };

void log_setup(const char *name, enum log_level level)
{
    program = name;
    least = level;
}

void log_line(enum log_level level, const char *event, const char *format, ...)
{
    char line[8192], pairs[7000];
    _cleanup_arena_ struct arena *a = NULL;
    va_list ap;
    int n;

    if (level < least)
        return;
    a = arena_new();
    va_start(ap, format);
    vsnprintf(pairs, sizeof pairs, format, ap);
    va_end(ap);
    /* One event is one line, whatever came from outside. */
    for (char *p = pairs; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
    n = snprintf(line, sizeof line, "%s %s program=%s pid=%d event=%s %s\n",
                 time_iso8601(a, clock_wall_ms(clock_system()), true), level_names[level], program, (int)getpid(),
                 event, pairs);
    if (n >= (int)sizeof line)
        n = (int)sizeof line - 1;
    /* One write, so that lines of several processes do not mix; a log that cannot be written is nobody's error. */
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return;
}

const char *log_quote(struct arena *a, const char *text)
{
    _cleanup_buf_ struct buf b = { 0 };

    buf_append_char(&b, '"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < ' ' || c == 127)
            buf_printf(&b, "\\x%02x", c);
        else if (c == '"' || c == '\\')
            buf_printf(&b, "\\%c", c);
        else
            buf_append_char(&b, (char)c);
    }
    buf_append_char(&b, '"');
    return arena_strndup(a, b.data, b.size);
}
