#include "base/nearest.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 255, LETTERS_A_TYPO = 6, TYPOS_MAX = 3 };

static int least(int a, int b)
{
    return a < b ? a : b;
}

int text_distance(const char *a, const char *b, int limit)
{
    int rows[3][LONGEST + 2], *before = rows[0], *above = rows[1], *row = rows[2];
    int size_a = (int)strnlen(a, LONGEST + 1), size_b = (int)strnlen(b, LONGEST + 1);

    if (size_a > LONGEST || size_b > LONGEST || abs(size_a - size_b) > limit)
        return limit + 1;
    for (int j = 0; j <= size_b; j++)
        row[j] = j;
    for (int i = 1; i <= size_a; i++) {
        int *free_row = before;

        before = above;
        above = row;
        row = free_row;
        row[0] = i;
        for (int j = 1; j <= size_b; j++) {
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
    }
    return least(row[size_b], limit + 1);
}

const char *text_nearest(const char *word, const char *const *names)
{
    size_t count = 0;

    while (names[count])
        count++;
    return text_nearest_of(word, names, count);
}

const char *text_nearest_of(const char *word, const char *const *names, size_t count)
{
    int limit = least(1 + (int)(strnlen(word, LONGEST) / LETTERS_A_TYPO), TYPOS_MAX);
    const char *best = NULL;

    for (size_t i = 0; i < count; i++) {
        int distance = text_distance(word, names[i], limit);

        if (distance <= limit) {
            best = names[i];
            limit = distance - 1;
        }
        if (limit < 0)
            break;
    }
    return best;
}
