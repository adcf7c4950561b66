/* number.h - decimal text to float, fast: what a training file is made of.
 *
 * Up to 19 digits and a small power of ten need one multiplication; all else goes through strtod(). "nan" and "inf"
 * in any case are numbers here, as they are for XGBoost. */
#ifndef ALGO_NUMBER_H
#define ALGO_NUMBER_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static inline const char *number_slow(const char *start, const char *end, const char *after, float *ret)
{
    char text[512], *stop;
    size_t size = (size_t)(after - start);

    if (size >= sizeof text)
        size =
            sizeof text - 1; /* digits beyond the 500th change nothing in a float, and the exponent is then 0 or inf */
    memcpy(text, start, size);
    text[size] = '\0';
    *ret = (float)strtod(text, &stop);
    (void)end;
    return after;
}

/* The byte after the number that starts at p, or NULL: there is none. */
static inline const char *number_parse(const char *p, const char *end, float *ret)
{
    static const double power[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    const char *start = p;
    bool negative = false;
    uint64_t digits = 0;
    int count = 0, scale = 0, exponent = 0;

    if (p < end && (*p == '-' || *p == '+'))
        negative = *p++ == '-';
    const char *first = p;
    while (p < end && (unsigned char)(*p - '0') < 10)
        digits = digits * 10 + (unsigned char)(*p++ - '0');
    count = p - first > 100 ? 100 : (int)(p - first);
    if (p < end && *p == '.') {
        const char *point = ++p;

        while (p < end && (unsigned char)(*p - '0') < 10)
            digits = digits * 10 + (unsigned char)(*p++ - '0');
        scale = p - point > 1000 ? 1000 : (int)(p - point);
        count += scale;
    }
    if (count == 0) {
        if (end - first >= 3 && strncasecmp(first, "nan", 3) == 0) {
            *ret = NAN;
            return first + 3;
        }
        if (end - first >= 3 && strncasecmp(first, "inf", 3) == 0) {
            *ret = negative ? -INFINITY : INFINITY;
            return end - first >= 8 && strncasecmp(first, "infinity", 8) == 0 ? first + 8 : first + 3;
        }
        return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        const char *mark = p++;
        bool down = false;

        if (p < end && (*p == '-' || *p == '+'))
            down = *p++ == '-';
        if (p < end && (unsigned char)(*p - '0') < 10) {
            while (p < end && (unsigned char)(*p - '0') < 10) {
                if (exponent < 10000)
                    exponent = exponent * 10 + (*p - '0');
                p++;
            }
            if (down)
                exponent = -exponent;
        } else {
            p = mark; /* "12e" is 12 and then an e */
        }
    }
    exponent -= scale;
    if (count > 19 || digits > (UINT64_C(1) << 53) || exponent > 22 || exponent < -22)
        return number_slow(start, end, p, ret);
    double v = exponent < 0 ? (double)digits / power[-exponent] : (double)digits * power[exponent];
    *ret = (float)(negative ? -v : v);
    return p;
}

#endif
