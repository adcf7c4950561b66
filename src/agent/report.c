#include "agent/report.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"

enum { REASON_MAX = 900 }; /* of the 1,024 that FailureReason has, with the prefix */

struct report {
    struct arena *arena;
    struct doc *doc, *phases;
    bool changed;
};

struct report *report_new(const struct doc *before)
{
    struct report *r = calloc(1, sizeof *r);
    const struct doc *phases;

    assert(r);
    r->arena = arena_new();
    r->doc = before && before->type == DOC_MAP ? doc_copy(r->arena, before) : doc_map(r->arena);
    doc_set_integer(r->arena, r->doc, "version", 1);
    phases = doc_get(r->doc, "phases");
    r->phases = phases && phases->type == DOC_LIST ? doc_copy(r->arena, phases) : doc_list(r->arena);
    doc_set(r->arena, r->doc, "phases", r->phases);
    return r;
}

void report_free(struct report *r)
{
    if (!r)
        return;
    arena_free(r->arena);
    free(r);
}

const char *report_phase(const struct report *r)
{
    return doc_text(r->doc, "phase");
}

void report_enter(struct report *r, const char *phase, const char *message, int64_t at_ms)
{
    struct doc *d;

    if (strcmp(report_phase(r), phase) == 0)
        return;
    d = doc_map(r->arena);
    doc_set_string(r->arena, d, "phase", phase);
    doc_set_integer(r->arena, d, "at_ms", at_ms);
    doc_set_string(r->arena, d, "message", message);
    doc_append(r->arena, r->phases, d);
    doc_set_string(r->arena, r->doc, "phase", phase);
    r->changed = true;
}

static void set(struct report *r, const char *name, struct doc *value)
{
    const struct doc *now = doc_get(r->doc, name);

    if (now && doc_equal(now, value))
        return;
    doc_set(r->arena, r->doc, name, value);
    r->changed = true;
}

void report_set_text(struct report *r, const char *name, const char *value)
{
    set(r, name, doc_string(r->arena, value));
}

void report_set_int(struct report *r, const char *name, int64_t value)
{
    set(r, name, doc_integer(r->arena, value));
}

void report_set_bool(struct report *r, const char *name, bool value)
{
    set(r, name, doc_boolean(r->arena, value));
}

void report_set_doc(struct report *r, const char *name, const struct doc *value)
{
    const struct doc *now = doc_get(r->doc, name);

    /* Looked at every few seconds for weeks: what is as it was takes no memory. */
    if (!now || !doc_equal(now, value))
        set(r, name, doc_copy(r->arena, value));
}

const struct doc *report_doc(const struct report *r)
{
    return r->doc;
}

bool report_changed(const struct report *r)
{
    return r->changed;
}

const struct doc *report_next(struct report *r)
{
    doc_set_integer(r->arena, r->doc, "sequence", doc_int(r->doc, "sequence", 0) + 1);
    return r->doc;
}

void report_saved(struct report *r)
{
    r->changed = false;
}

const char *report_blame(struct arena *a, const struct err *err)
{
    struct err told = *err;

    if (err_hide_paths(&told))
        log_error("instance.failed", "why=%s", log_quote(a, err->text));
    return arena_printf(a, "%s: %.*s",
                        err->kind == ERR_INTERNAL || err->kind == ERR_UNAVAILABLE ? "InternalServerError"
                                                                                  : "ClientError",
                        STR_ARG(utf8_first(str_of(told.text), REASON_MAX)));
}
