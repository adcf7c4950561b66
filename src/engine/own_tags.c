#include "engine/own_tags.h"

#include <string.h>
#include <strings.h>

#include "base/nearest.h"

static const char prefix[] = "sagebrush:";
static const char *const names[] = { OWN_TAG_LABELS, OWN_TAG_OWNER, OWN_TAG_PRIORITY, NULL };

/* What was mistyped, or cut short: "sagebrush:prio". */
static const char *meant(const char *key)
{
    for (size_t i = 0; names[i]; i++)
        if (strlen(key) > strlen(prefix) && text_starts(names[i], key))
            return names[i];
    return text_nearest(key, names);
}

static int check_name(const char *key, struct err *err)
{
    const char *nearest = meant(key);

    for (size_t i = 0; names[i]; i++)
        if (strcmp(key, names[i]) == 0)
            return 0;
    return fail_code(err, ERR_INVALID, "ValidationException",
                     "There is no tag %s%s%s%s Tags whose keys begin with %s are read by the scheduler, which knows "
                     OWN_TAG_LABELS ", " OWN_TAG_OWNER " and " OWN_TAG_PRIORITY ".",
                     key, nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : ".", prefix);
}

static int check_priority(const char *text, struct err *err)
{
    int64_t priority;

    if (str_to_int64(str_of(text), &priority) && priority >= -OWN_PRIORITY_MOST && priority <= OWN_PRIORITY_MOST)
        return 0;
    return fail_code(err, ERR_INVALID, "ValidationException",
                     "The tag " OWN_TAG_PRIORITY " must be a whole number from %d to %d, and is \"%s\".",
                     -OWN_PRIORITY_MOST, OWN_PRIORITY_MOST, text);
}

static int check_labels(const char *text, struct err *err)
{
    struct str rest = str_trim(str_of(text)), label, key, value;
    int count = 0;

    while (rest.size) {
        if (!str_cut(rest, ' ', &label, &rest)) {
            label = rest;
            rest.size = 0;
        }
        rest = str_trim(rest);
        if (!str_cut(label, '=', &key, &value) || !key.size || !value.size)
            return fail_code(err, ERR_INVALID, "ValidationException",
                             "The tag " OWN_TAG_LABELS " has \"" STR_FMT "\", which is not KEY=VALUE: it says what "
                             "labels of the fleet file the nodes must have, such as \"row=a zone=b\".",
                             STR_ARG(label));
        if (++count > OWN_LABELS_MOST)
            return fail_code(err, ERR_INVALID, "ValidationException",
                             "The tag " OWN_TAG_LABELS " has more than %d labels.", OWN_LABELS_MOST);
    }
    return 0;
}

/* However its letters are written: who begins so means us. */
int own_tags_check(const struct doc *tags, struct err *err)
{
    for (size_t i = 0; i < doc_count(tags, ""); i++) {
        const char *key = doc_text(tags->items[i], "Key"), *value = doc_text(tags->items[i], "Value");

        if (strncasecmp(key, prefix, strlen(prefix)) != 0)
            continue;
        if (check_name(key, err) < 0 ||
            (*value && strcmp(key, OWN_TAG_PRIORITY) == 0 && check_priority(value, err) < 0) ||
            (strcmp(key, OWN_TAG_LABELS) == 0 && check_labels(value, err) < 0))
            return -1;
    }
    return 0;
}
