#include "aws/pattern.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    /* ALT_BSUX: \uXXXX, as Java writes it. "$" is the very end, not before a last newline. */
    OPTIONS = PCRE2_UTF | PCRE2_ALT_BSUX | PCRE2_DOLLAR_ENDONLY,
    STEPS_MAX = 1000000, /* then an expression counts as running away */
    SLOTS = 8192,        /* a power of two, far above the number of patterns in the tables */
};

/* What every match of a thread reuses; goes with the thread. */
struct matcher {
    pcre2_match_context *context;
    pcre2_match_data *data; /* room for the whole match and one group */
};

static _Thread_local struct matcher *this_matcher;
static pthread_key_t matcher_key;
static pthread_once_t matcher_once = PTHREAD_ONCE_INIT;

static void matcher_free(void *data)
{
    struct matcher *m = data;

    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    free(m);
    this_matcher = NULL;
}

/* The main thread ends with the process, where nobody calls the destructors of keys. */
static void matcher_end(void)
{
    if (this_matcher)
        matcher_free(this_matcher);
}

static void matcher_setup(void)
{
    int failed = pthread_key_create(&matcher_key, matcher_free);

    assert(failed == 0);
    atexit(matcher_end);
}

static struct matcher *matcher(void)
{
    struct matcher *m = this_matcher;

    if (m)
        return m;
    pthread_once(&matcher_once, matcher_setup);
    m = calloc(1, sizeof *m);
    assert(m && "out of memory");
    m->context = pcre2_match_context_create(NULL);
    m->data = pcre2_match_data_create(2, NULL);
    assert(m->context && m->data && "out of memory");
    pcre2_set_match_limit(m->context, STEPS_MAX);
    pcre2_set_depth_limit(m->context, STEPS_MAX);
    pcre2_set_heap_limit(m->context, 16 * 1024);
    pthread_setspecific(matcher_key, m);
    this_matcher = m;
    return m;
}

struct entry {
    const char *pattern;
    pcre2_code *code;
};

/* Filled, never emptied: a slot that was seen with an entry keeps it. */
static _Atomic(struct entry *) slots[SLOTS];

static struct entry *compile(const char *pattern)
{
    struct entry *e = malloc(sizeof *e);
    PCRE2_SIZE at;
    int why;

    assert(e && "out of memory");
    e->pattern = pattern;
    e->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, OPTIONS | PCRE2_ANCHORED | PCRE2_ENDANCHORED,
                            &why, &at, NULL);
    assert(e->code && "a pattern of the model does not compile: correct it in model/overlay.json");
    pcre2_jit_compile(e->code, PCRE2_JIT_COMPLETE); /* where there is none, matching does without */
    return e;
}

static const pcre2_code *code_of(const char *pattern)
{
    size_t at = (size_t)((uintptr_t)pattern * 0x9e3779b97f4a7c15u >> 40) % SLOTS;
    struct entry *made = NULL;

    for (size_t tries = 0; tries < SLOTS; at = (at + 1) % SLOTS, tries++) {
        struct entry *e = atomic_load_explicit(&slots[at], memory_order_acquire);

        if (!e) {
            if (!made)
                made = compile(pattern);
            if (atomic_compare_exchange_strong(&slots[at], &e, made))
                return made->code;
            /* Another thread was here first; 'e' is what it put. */
        }
        if (e->pattern == pattern) {
            if (made) {
                pcre2_code_free(made->code);
                free(made);
            }
            return e->code;
        }
    }
    assert(!"more patterns than slots: is pattern_matches() given strings that are not the model's?");
    return NULL;
}

bool pattern_matches(const char *pattern, struct str text)
{
    const struct matcher *m = matcher();

    return pcre2_match(code_of(pattern), (PCRE2_SPTR)text.data, text.size, 0, 0, m->data, m->context) >= 0;
}

struct pattern {
    pcre2_code *code;
};

int pattern_new(const char *text, struct pattern **ret, struct err *err)
{
    struct pattern *p;
    pcre2_code *code;
    PCRE2_SIZE at;
    int why;

    code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, OPTIONS, &why, &at, NULL);
    if (!code) {
        PCRE2_UCHAR words[200];

        pcre2_get_error_message(why, words, sizeof words);
        return fail(err, ERR_INVALID, "the regular expression '%s' is wrong at character %zu: %s", text, (size_t)at,
                    words);
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    p = malloc(sizeof *p);
    assert(p && "out of memory");
    p->code = code;
    *ret = p;
    return 0;
}

void pattern_free(struct pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    free(p);
}

bool pattern_find(const struct pattern *p, struct str text, struct str *ret_group)
{
    /* More groups than the match data has room for give 0, with the first ones filled in. */
    const struct matcher *m = matcher();
    int groups = pcre2_match(p->code, (PCRE2_SPTR)text.data, text.size, 0, 0, m->data, m->context);
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(m->data);
    bool has_group = groups == 0 || (groups > 1 && at[2] != PCRE2_UNSET);

    if (groups < 0)
        return false;
    if (has_group && at[2] != PCRE2_UNSET)
        at += 2;
    /* \K in a lookahead may end a match before it starts. */
    if (at[1] < at[0])
        return false;
    *ret_group = (struct str){ text.data + at[0], at[1] - at[0] };
    return true;
}
