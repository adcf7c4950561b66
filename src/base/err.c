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
