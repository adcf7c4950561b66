#include "agent/verdict.h"

#include <signal.h>
#include <string.h>

#include "base/str.h"

enum { WORDS_MAX = 1024 };

/* At most 1024 bytes of it, not cut in the middle of a character. */
static const char *shorten(struct arena *a, const char *words)
{
    struct str s = str_trim(str_of(words));

    if (s.size > WORDS_MAX) {
        s.size = WORDS_MAX;
        while (s.size && ((unsigned char)s.data[s.size] & 0xc0) == 0x80)
            s.size--;
    }
    return str_dup(a, s);
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
        v.reason = "InternalServerError: the container was lost: it was killed from outside, or the machine restarted. "
                   "Start the job again.";
        return v;
    }
    if (r->state == EXIT_LOST)
        v.exit_code = 128 + SIGKILL;
    if (r->state == EXIT_ENDED && *r->problem) {
        v.reason = arena_printf(a, "AlgorithmError: %s, exit code: %d", r->problem, v.exit_code);
        return v;
    }
    if (v.oom_killed)
        v.reason = arena_printf(
            a,
            "AlgorithmError: %s%sthe container ran out of memory and was killed: its limit is %s%s%s%s. Use "
            "an instance type with more memory, or hold less data in memory at once., exit code: %d",
            words, *words ? "; " : "", size_text(a, f->memory_bytes), *f->instance_type ? " (" : "", f->instance_type,
            *f->instance_type ? ")" : "", v.exit_code);
    else if (r->signal && !*words)
        v.reason = arena_printf(a, "AlgorithmError: the command was ended by signal %d (%s), exit code: %d", r->signal,
                                strsignal(r->signal), v.exit_code);
    else
        v.reason = arena_printf(a, "AlgorithmError: %s, exit code: %d", words, v.exit_code);
    return v;
}
