#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int fill(struct err *err, enum err_kind kind, const char *code, const char *format, va_list ap)
{
    /* The text may quote the old one: format first, then overwrite. */
    char text[sizeof err->text];

    vsnprintf(text, sizeof text, format, ap);
    memcpy(err->text, text, sizeof text);
    snprintf(err->code, sizeof err->code, "%s", code);
    err->kind = kind;
    err->http_status = 0;
    return -1;
}

int fail(struct err *err, enum err_kind kind, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    fill(err, kind, "", format, ap);
    va_end(ap);
    return -1;
}

int fail_code(struct err *err, enum err_kind kind, const char *code, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    fill(err, kind, code, format, ap);
    va_end(ap);
    return -1;
}

static enum err_kind kind_of_errno(int errno_value)
{
    switch (errno_value) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_CONFLICT;
    case EAGAIN:
    case ETIMEDOUT:
    case ECONNREFUSED:
    case ECONNRESET:
        return ERR_UNAVAILABLE;
    default:
        return ERR_INTERNAL;
    }
}

int fail_errno(struct err *err, int errno_value, const char *format, ...)
{
    size_t size;
    va_list ap;

    va_start(ap, format);
    fill(err, kind_of_errno(errno_value), "", format, ap);
    va_end(ap);
    size = strlen(err->text);
    snprintf(err->text + size, sizeof err->text - size, ": %s", strerror(errno_value));
    return -1;
}

/* The end of the path that begins here: "open /a/b: No such file" */
static const char *end_of_path(const char *at)
{
    while (*at && !strchr(" \"'(),;", *at) && !(*at == ':' && (at[1] == ' ' || at[1] == '\0')))
        at++;
    return at;
}

bool err_hide_paths(struct err *err)
{
    static const char container[] = "/opt/ml";
    char *out = err->text;
    const char *at = err->text;
    bool cut = false;

    if (err->kind == ERR_INVALID || err->code[0])
        return false;
    while (*at) {
        bool begins = *at == '/' && at[1] != ' ' && (at == err->text || strchr(" \"'(=", at[-1]));
        const char *end = begins ? end_of_path(at) : at + 1, *last = at;

        if (begins && strncmp(at, container, sizeof container - 1) != 0) {
            while (last < end && memchr(last, '/', (size_t)(end - last)))
                last++;
            cut = cut || last > at;
        }
        memmove(out, last, (size_t)(end - last));
        out += end - last;
        at = end;
    }
    *out = '\0';
    return cut;
}
