#include "agent/verdict.h"

#include <signal.h>
#include <string.h>

#include "base/str.h"

enum { WORDS_MAX = 1024 };

/* At most 1024 characters of it. */
static const char *shorten(struct arena *a, const char *words)
{
    struct str s = str_trim(str_of(words));
    size_t size = 0;

    for (int n = 0; n < WORDS_MAX && size < s.size; n++)
        for (size++; size < s.size && ((unsigned char)s.data[size] & 0xc0) == 0x80;)
            size++;
    return str_dup(a, (struct str){ s.data, size });
}

/* In AWS's form. A program of an algorithm's may itself say whose fault it was; a sentence's full stop goes before the
 * comma. */
static const char *blame(struct arena *a, const char *text, int exit_code)
{
    size_t size = strlen(text);
    bool blamed = text_starts(text, "ClientError: ") || text_starts(text, "AlgorithmError: ");

    if (size > 1 && text[size - 1] == '.' && text[size - 2] != '.')
        size--;
    return arena_printf(a, "%s%.*s, exit code: %d", blamed ? "" : "AlgorithmError: ", (int)size, text, exit_code);
}

/* "SIGSEGV, Segmentation fault": people look for the one, and read the other. */
static const char *signal_name(struct arena *a, int signal)
{
    const char *name = sigabbrev_np(signal);

    return name ? arena_printf(a, "SIG%s, %s", name, sigdescr_np(signal)) : arena_printf(a, "a real-time signal");
}

static const char *size_text(struct arena *a, int64_t bytes)
{
    return arena_printf(a, "%.1f GiB", (double)bytes / (1 << 30));
}

struct verdict verdict_of(struct arena *a, const struct verdict_facts *f)
{
    const struct exit_record *r = f->record;
    struct verdict v = { .outcome = "Completed", .reason = "", .exit_code = r->exit_code };
    const char *words = shorten(a, f->words);

    v.oom_killed = f->out_of_memory && (r->exit_code != 0 || r->state == EXIT_LOST);
    if (f->stopped || f->overran) {
        v.outcome = !f->stopped ? "MaxRuntimeExceeded" : f->taken_back ? "Interrupted" : "Stopped";
        return v;
    }
    if (r->state == EXIT_ENDED && r->exit_code == 0)
        return v;
    v.outcome = "Failed";
    if (f->overfull) {
        v.reason = arena_strdup(a, f->overfull);
        return v;
    }
    if (r->state == EXIT_LOST && !f->out_of_memory) {
        v.exit_code = 128 + SIGKILL;
        v.lost = true;
        v.reason = "InternalServerError: the container was lost: it was killed from outside, or the machine restarted. "
                   "Start the job again.";
        return v;
    }
    if (r->state == EXIT_LOST)
        v.exit_code = 128 + SIGKILL;
    if (r->state == EXIT_ENDED && *r->problem)
        words = r->problem;
    else if (v.oom_killed)
        words = arena_printf(a,
                             "%s%sthe container ran out of memory and was killed: its limit is %s%s%s%s. Use an "
                             "instance type with more memory, or hold less data in memory at once.",
                             words, *words ? "; " : "", size_text(a, f->memory_bytes), *f->instance_type ? " (" : "",
                             f->instance_type, *f->instance_type ? ")" : "");
    else if (r->signal)
        words = arena_printf(a, "%s%sthe command was ended by signal %d (%s)", words, *words ? "; " : "", r->signal,
                             signal_name(a, r->signal));
    else if (!*words)
        words = arena_printf(a, "the command gave no reason, neither in its log nor in /opt/ml/output/%s",
                             f->reason_file);
    v.reason = blame(a, words, v.exit_code);
    return v;
}
