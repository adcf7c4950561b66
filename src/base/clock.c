#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_wall_ms(struct clock *c)
{
    (void)c;
    return read_ms(CLOCK_REALTIME);
}

static int64_t system_boot_ms(struct clock *c)
{
    (void)c;
    return read_ms(CLOCK_BOOTTIME);
}

struct clock *clock_system(void)
{
    static struct clock system = { system_wall_ms, system_boot_ms };

    return &system;
}

static struct tm split(int64_t wall_ms, int *ret_ms)
{
    int64_t seconds = wall_ms / 1000;
    struct tm tm = { 0 };

    *ret_ms = (int)(wall_ms % 1000);
    if (*ret_ms < 0) {
        *ret_ms += 1000;
        seconds--;
    }
    gmtime_r(&(time_t){ seconds }, &tm);
    return tm;
}

char *time_iso8601(struct arena *a, int64_t wall_ms, bool milliseconds)
{
    int ms;
    struct tm tm = split(wall_ms, &ms);
    /* Not strftime: its %Y has no zeros in front. */
    char *text = arena_printf(a, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                              tm.tm_hour, tm.tm_min, tm.tm_sec);

    return milliseconds ? arena_printf(a, "%s.%03dZ", text, ms) : arena_printf(a, "%sZ", text);
}

static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char *const months[] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
};

/* Not strftime: the names of HTTP are English whatever the locale. */
char *time_http(struct arena *a, int64_t wall_ms)
{
    int ms;
    struct tm tm = split(wall_ms, &ms);

    return arena_printf(a, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
                        tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Reads exactly n digits. */
static bool digits(const char **at, const char *end, int n, int *ret)
{
    int value = 0;

    if (end - *at < n)
        return false;
    for (int i = 0; i < n; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        value = value * 10 + (**at - '0');
    }
    *ret = value;
    return true;
}

static bool one(const char **at, const char *end, char c)
{
    if (*at == end || **at != c)
        return false;
    (*at)++;
    return true;
}

/* Not timegm: it looks for the time zone each time. A year from its March on ends with the leap day; 400 years before
 * the year 0 everything is positive. */
static int64_t seconds_of(const struct tm *tm)
{
    int64_t year = 400 + tm->tm_year + 1900 - (tm->tm_mon < 2), month = (tm->tm_mon + 10) % 12;
    int64_t day = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + tm->tm_mday - 1;

    return ((day - 146097 - 719468) * 24 + tm->tm_hour) * 3600 + tm->tm_min * 60 + tm->tm_sec;
}

static bool join(struct tm tm, int ms, int offset_minutes, int64_t *ret)
{
    static const int longest[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

    if (tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > longest[tm.tm_mon] || tm.tm_hour > 24 ||
        tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    *ret = (seconds_of(&tm) - offset_minutes * 60) * 1000 + ms;
    return true;
}

bool time_parse_iso8601(struct str s, int64_t *ret)
{
    const char *p = s.data, *end = s.data + s.size;
    int ms = 0, scale = 100, hours, minutes = 0, offset = 0;
    struct tm tm = { 0 };
    bool basic;

    if (!digits(&p, end, 4, &tm.tm_year))
        return false;
    basic = !one(&p, end, '-');
    if (!digits(&p, end, 2, &tm.tm_mon) || (!basic && !one(&p, end, '-')) || !digits(&p, end, 2, &tm.tm_mday))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    if (p == end)
        return join(tm, 0, 0, ret);
    if (!one(&p, end, 'T') && !one(&p, end, ' '))
        return false;
    if (!digits(&p, end, 2, &tm.tm_hour) || (!basic && !one(&p, end, ':')) || !digits(&p, end, 2, &tm.tm_min))
        return false;
    if (p != end && (*p == ':' || (basic && *p >= '0' && *p <= '9'))) {
        if (!basic)
            p++;
        if (!digits(&p, end, 2, &tm.tm_sec))
            return false;
    }
    if (one(&p, end, '.'))
        for (; p != end && *p >= '0' && *p <= '9'; p++, scale /= 10)
            ms += (*p - '0') * scale;
    if (p != end && (*p == '+' || *p == '-')) {
        int sign = *p++ == '-' ? -1 : 1;

        if (!digits(&p, end, 2, &hours))
            return false;
        one(&p, end, ':');
        if (p != end && !digits(&p, end, 2, &minutes))
            return false;
        offset = sign * (hours * 60 + minutes);
    } else {
        one(&p, end, 'Z');
    }
    return p == end && join(tm, ms, offset, ret);
}

bool time_parse_http(struct str s, int64_t *ret)
{
    const char *p = s.data, *end = s.data + s.size;
    struct tm tm = { .tm_mon = -1 };

    p = s.size ? memchr(p, ' ', s.size) : NULL;
    if (!p)
        return false;
    p++;
    if (!digits(&p, end, 2, &tm.tm_mday) || (!one(&p, end, ' ') && !one(&p, end, '-')) || end - p < 4)
        return false;
    for (int i = 0; i < 12; i++)
        if (memcmp(p, months[i], 3) == 0)
            tm.tm_mon = i;
    p += 4;
    if (!digits(&p, end, 4, &tm.tm_year) || !one(&p, end, ' ') || !digits(&p, end, 2, &tm.tm_hour) ||
        !one(&p, end, ':') || !digits(&p, end, 2, &tm.tm_min) || !one(&p, end, ':') || !digits(&p, end, 2, &tm.tm_sec))
        return false;
    tm.tm_year -= 1900;
    return str_is((struct str){ p, (size_t)(end - p) }, " GMT") && join(tm, 0, 0, ret);
}

bool duration_parse(struct str text, int64_t *ret_ms)
{
    static const struct {
        char letter;
        int64_t ms;
    } units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 } };
    int64_t unit_ms = 1000, n;

    if (str_is(text, "off")) {
        *ret_ms = 0;
        return true;
    }
    for (size_t i = 0; text.size && i < sizeof units / sizeof *units; i++)
        if (text.data[text.size - 1] == units[i].letter) {
            unit_ms = units[i].ms;
            text.size--;
            break;
        }
    if (!str_to_int64(text, &n) || n < 0 || n > INT64_MAX / unit_ms)
        return false;
    *ret_ms = n * unit_ms;
    return true;
}

const char *duration_text(struct arena *a, double ms)
{
    double s = ms / 1000;
    int64_t whole = s < 1e15 ? (int64_t)(s + 0.5) : INT64_MAX;

    if (s < 9.95)
        return arena_printf(a, "%.1f s", s);
    if (whole < 60)
        return arena_printf(a, "%lld s", (long long)whole);
    if (whole < 3600)
        return arena_printf(a, "%lld min %lld s", (long long)whole / 60, (long long)whole % 60);
    if (whole < 48 * 3600)
        return arena_printf(a, "%lld h %lld min", (long long)whole / 3600, (long long)whole / 60 % 60);
    return arena_printf(a, "%lld days", (long long)(whole / 86400 + (whole % 86400 >= 43200)));
}
