/* The folder and what S3 has of it, with a store that fails where it is told to, and agents that are killed there. */
#include "agent/checkpoint.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/walk.h"
#include "base/fd.h"
#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum fault { FAULT_NONE, FAULT_BEFORE, FAULT_AFTER }; /* the agent is killed before S3 did it, or after */

struct fake {
    struct checkpoint_store store;
    struct map *objects; /* path -> text */
    enum fault fault;
    int faults_in;              /* calls until then */
    int puts, removes, refused;
    void (*meanwhile)(const char *path); /* while a file is read */
    pthread_mutex_t lock; /* of all above: several files are put at a time */
    void (*carried)(const char *path);  /* without the lock: how long a file takes */
    void (*becoming)(const char *path); /* the same, after it was asked whether it is unchanged */
    int carrying, carrying_most;
    char order[1000]; /* of what became an object */
};

static char base[64];
static char root[80];
static struct fake fake;
static struct checkpoint checkpoint;

static void forget(const char *path)
{
    free(map_remove(fake.objects, str_of(path)));
}

static int fake_put(struct checkpoint_store *store, const char *path, int fd, bool (*unchanged)(void *), void *data,
                    struct err *err)
{
    struct stat st;
    char *text;
    bool may;
    int r = 0;

    pthread_mutex_lock(&fake.lock);
    if (fake.fault == FAULT_BEFORE && fake.faults_in-- == 0)
        r = (fail)(err, ERR_CONFLICT, "killed");
    fstat(fd, &st);
    text = calloc(1, (size_t)st.st_size + 1);
    assert_true(pread(fd, text, (size_t)st.st_size, 0) >= 0);
    if (r == 0 && fake.meanwhile)
        fake.meanwhile(path);
    if (++fake.carrying > fake.carrying_most)
        fake.carrying_most = fake.carrying;
    pthread_mutex_unlock(&fake.lock);
    if (fake.carried)
        fake.carried(path);
    may = r == 0 && unchanged(data);
    if (may && fake.becoming)
        fake.becoming(path);
    pthread_mutex_lock(&fake.lock);
    fake.carrying--;
    if (r == 0 && strstr(path, "refused"))
        r = (fail)(err, ERR_INVALID, "no such name");
    if (r == 0 && !may) {
        fake.refused++;
        r = (fail)(err, ERR_UNAVAILABLE, "changed");
    }
    if (r == 0) {
        fake.puts++;
        free(map_set(fake.objects, str_of(path), text));
        text = NULL;
        if (strlen(fake.order) < sizeof fake.order - 80)
            strcat(strcat(fake.order, " "), path);
        if (fake.fault == FAULT_AFTER && fake.faults_in-- == 0)
            r = (fail)(err, ERR_CONFLICT, "killed");
    }
    pthread_mutex_unlock(&fake.lock);
    free(text);
    return r;
}

static int fake_remove(struct checkpoint_store *store, const char *path, struct err *err)
{
    if (fake.fault == FAULT_BEFORE && fake.faults_in-- == 0)
        return (fail)(err, ERR_CONFLICT, "killed");
    fake.removes++;
    forget(path);
    return fake.fault == FAULT_AFTER && fake.faults_in-- == 0 ? (fail)(err, ERR_CONFLICT, "killed") : 0;
}

static void open_checkpoint(void)
{
    struct err err = { 0 };

    checkpoint = (struct checkpoint){ .root = root, .store = &fake.store, .clock = clock_system(), .watch = -1 };
    if (book_open(base, &checkpoint.book, &err) < 0)
        fail_msg("%s", err.text);
}

static void close_checkpoint(void)
{
    checkpoint_end(&checkpoint);
    book_free(checkpoint.book);
}

static void restart(void)
{
    close_checkpoint();
    open_checkpoint();
}

static int make(void **state)
{
    strcpy(base, "/tmp/checkpoint-XXXXXX");
    if (!mkdtemp(base))
        return -1;
    snprintf(root, sizeof root, "%s/ml", base);
    fake = (struct fake){ .store = { fake_put, fake_remove }, .objects = map_new(),
                          .lock = PTHREAD_MUTEX_INITIALIZER };
    mkdir(root, 0755);
    open_checkpoint();
    return 0;
}

static int unmake(void **state)
{
    struct err err;
    struct str key;
    void *value;

    close_checkpoint();
    for (size_t at = 0; map_next(fake.objects, &at, &key, &value);)
        free(value);
    map_free(fake.objects);
    return tree_remove(base, &err);
}

static const char *at(const char *path)
{
    static char full[4][4096];
    static int next;
    char *p = full[next++ % 4];

    snprintf(p, sizeof full[0], "%s/%s", root, path);
    return p;
}

static int begin_writing(const char *path)
{
    int fd = open(at(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    return fd;
}

static void write_text(const char *path, const char *text)
{
    int fd = begin_writing(path);

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static const char *object(const char *path)
{
    return map_get(fake.objects, str_of(path));
}

static int look(enum checkpoint_when when, int64_t *ret_again_ms)
{
    struct err err = { 0 };
    int r = checkpoint_look(&checkpoint, when, ret_again_ms, &err);

    if (r < 0 && err.kind != ERR_CONFLICT)
        fail_msg("%s", err.text);
    return r;
}

/* Looks until there is no reason to look again for what is not open for writing. */
static void settle(void)
{
    int64_t again_ms;

    do {
        assert_int_equal(look(CHECKPOINT_RUNNING, &again_ms), 0);
        usleep(again_ms && again_ms < 1000 ? 5000 : 0);
    } while (again_ms && again_ms < 1000);
}

static void files_come_and_go(void **state)
{
    mkdir(at("d"), 0755);
    mkdir(at("d/e"), 0755);
    write_text("a", "1");
    write_text("d/e/b", "2");
    settle();
    assert_string_equal(object("a"), "1");
    assert_string_equal(object("d/e/b"), "2");
    assert_true(path_exists(at("a.sagemaker-uploaded")));
    assert_false(path_exists(at("a.sagemaker-uploading")));
    settle();
    restart();
    settle();
    assert_int_equal(fake.puts, 2);
    write_text("a", "3");
    rename(at("d/e/b"), at("c"));
    settle();
    assert_string_equal(object("a"), "3");
    assert_string_equal(object("c"), "2");
    assert_null(object("d/e/b"));
    unlink(at("a"));
    settle();
    assert_null(object("a"));
    assert_false(path_exists(at("a.sagemaker-uploaded")));
}

static void what_is_not_to_be_uploaded(void **state)
{
    mkdir(at("x.sagemaker-ignore"), 0755);
    write_text("x.sagemaker-ignore/a", "1");
    write_text("b.sagemaker-ignore", "2");
    write_text("orphan.sagemaker-uploading", "");
    assert_int_equal(symlink("/etc/passwd", at("link")), 0);
    assert_int_equal(mkfifo(at("pipe"), 0600), 0);
    settle();
    assert_int_equal(map_count(fake.objects), 0);
    assert_false(path_exists(at("orphan.sagemaker-uploading")));
}

static void an_open_file_waits(void **state)
{
    int fd = begin_writing("a");
    int64_t again_ms;

    write_text("b", "whole");
    assert_int_equal(write(fd, "half", 4), 4);
    settle();
    assert_null(object("a"));
    assert_string_equal(object("b"), "whole");
    assert_int_equal(write(fd, "+half", 5), 5);
    close(fd);
    settle();
    assert_string_equal(object("a"), "half+half");
    fd = open(at("a"), O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "!", 1), 1);
    settle();
    assert_string_equal(object("a"), "half+half");
    /* At the end nobody writes any more. */
    assert_int_equal(look(CHECKPOINT_ENDED, &again_ms), 0);
    assert_string_equal(object("a"), "half+half!");
    close(fd);
}

static int opened = -1;

static void open_for_writing(const char *path)
{
    fake.meanwhile = NULL;
    opened = open(at(path), O_WRONLY | O_CLOEXEC);
}

static void rewrite_it(const char *path)
{
    fake.meanwhile = NULL;
    usleep(20000);
    write_text(path, "new");
}

static void remove_it(const char *path)
{
    fake.meanwhile = NULL;
    unlink(at(path));
}

static void replace_it(const char *path)
{
    fake.meanwhile = NULL;
    write_text("tmp", "new");
    rename(at("tmp"), at(path));
}

static void changes_while_it_is_read(void **state)
{
    void (*const changes[])(const char *) = { open_for_writing, rewrite_it, remove_it, replace_it };

    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        write_text("a", "old");
        settle();
        write_text("a", "middle");
        fake.meanwhile = changes[i];
        fake.refused = 0;
        settle();
        assert_int_equal(fake.refused, 1);
        if (changes[i] == open_for_writing) {
            assert_string_equal(object("a"), "old");
            close(opened);
            settle();
            assert_string_equal(object("a"), "middle");
        } else if (changes[i] == remove_it) {
            assert_null(object("a"));
        } else {
            assert_string_equal(object("a"), "new");
        }
    }
}

static void half_a_file_of_a_killed_writer(void **state)
{
    int64_t again_ms;
    int fd;

    write_text("a", "good");
    settle();
    fd = begin_writing("a");
    assert_int_equal(write(fd, "ha", 2), 2);
    write_text("b", "whole");
    checkpoint_before_kill(&checkpoint);
    close(fd); /* as the kernel does it */
    usleep(30000);
    assert_int_equal(look(CHECKPOINT_RUNNING, &again_ms), 0);
    assert_string_equal(object("a"), "good");
    restart();
    assert_int_equal(look(CHECKPOINT_KILLED, &again_ms), 0);
    assert_string_equal(object("a"), "good");
    assert_string_equal(object("b"), "whole");
}

static void a_killed_writer_that_was_only_seen(void **state)
{
    int64_t again_ms;
    int fd = begin_writing("a");

    settle();
    close(fd);
    assert_int_equal(look(CHECKPOINT_KILLED, &again_ms), 0);
    assert_null(object("a"));
    /* Had it ended by itself, the file would be what it wanted it to be. */
    assert_int_equal(look(CHECKPOINT_ENDED, &again_ms), 0);
    assert_string_equal(object("a"), "");
}

static void put_before_an_agent_was_killed(void **state)
{
    int64_t again_ms;

    write_text("a", "1");
    usleep(30000);
    fake.fault = FAULT_AFTER;
    assert_int_equal(look(CHECKPOINT_RUNNING, &again_ms), -1);
    assert_string_equal(object("a"), "1");
    /* It is removed before the next agent ever sees it. */
    unlink(at("a"));
    fake.fault = FAULT_NONE;
    restart();
    settle();
    assert_null(object("a"));
}

static void an_end_is_an_end(void **state)
{
    struct err err;
    int64_t again_ms;

    write_text("a", "1");
    assert_int_equal(look(CHECKPOINT_ENDED, &again_ms), 0);
    assert_int_equal(book_close(checkpoint.book, &err), 0);
    restart();
    assert_int_equal(tree_remove(root, &err), 0);
    assert_int_equal(look(CHECKPOINT_ENDED, &again_ms), 0);
    mkdir(root, 0755);
    assert_int_equal(look(CHECKPOINT_ENDED, &again_ms), 0);
    assert_string_equal(object("a"), "1");
}

static void a_folder_that_is_gone_says_nothing(void **state)
{
    int64_t again_ms;

    write_text("a", "1");
    settle();
    rename(root, at("../elsewhere"));
    for (int i = 0; i < 4; i++)
        assert_int_equal(look(CHECKPOINT_RUNNING, &again_ms), 0);
    assert_int_equal(symlink("/etc", root), 0);
    assert_int_equal(look(CHECKPOINT_ENDED, &again_ms), 0);
    assert_int_equal(map_count(fake.objects), 1);
}

/* --- Several at a time --- */

/* The first to be finished take longest; and none is alone. */
static void slow_at_first(const char *path)
{
    bool together = false;

    for (int i = 0; i < 20000 && !together; i++) {
        usleep(1000);
        pthread_mutex_lock(&fake.lock);
        together = fake.carrying_most >= 4;
        pthread_mutex_unlock(&fake.lock);
    }
    usleep((useconds_t)(9 - (path[0] - '0')) * 2000);
}

static struct timespec changed(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_ctim;
}

/* Until the kernel's clock, which dates changes, has moved on: a tick is late where a core is. */
static void let_time_pass(const char *name)
{
    struct timespec before = changed(at(name)), now;
    char probe[100];

    snprintf(probe, sizeof probe, "%s/probe", base);
    do {
        usleep(1000);
        close(open(probe, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
        assert_int_equal(chmod(probe, 0644), 0);
        now = changed(probe);
    } while (now.tv_sec == before.tv_sec && now.tv_nsec == before.tv_nsec);
}

static void write_ten(off_t bytes)
{
    for (int i = 0; i < 10; i++) {
        char name[] = { (char)('0' + i), '\0' };

        write_text(name, "x");
        assert_int_equal(truncate(at(name), bytes), 0);
        let_time_pass(name);
    }
    usleep(30000);
}

static void objects_come_in_the_order_of_their_files(void **state)
{
    int64_t again_ms;

    checkpoint.lanes = 4;
    fake.carried = slow_at_first;
    write_ten(2 << 20);
    assert_int_equal(look(CHECKPOINT_RUNNING, &again_ms), 0);
    assert_string_equal(fake.order, " 0 1 2 3 4 5 6 7 8 9");
    assert_int_equal(fake.carrying_most, 4);
}

/* However soon after it is written: the kernel's clock dates both alike. */
static void what_names_another_file_comes_after_it(void **state)
{
    struct timespec one, two;
    int64_t again_ms;

    do {
        write_text("latest", "step-7");
        write_text("step-7", "x");
        assert_int_equal(truncate(at("step-7"), 100), 0);
        one = changed(at("latest"));
        two = changed(at("step-7"));
    } while (one.tv_sec != two.tv_sec || one.tv_nsec != two.tv_nsec);
    assert_int_equal(look(CHECKPOINT_ENDED, &again_ms), 0);
    assert_string_equal(fake.order, " step-7 latest");
}

/* What is put last of the first four gives the others time. */
static void slow_to_become(const char *path)
{
    bool there = strcmp(path, "0") != 0;

    for (int i = 0; i < 20000 && !there; i++) {
        usleep(1000);
        pthread_mutex_lock(&fake.lock);
        there = object("3") != NULL;
        pthread_mutex_unlock(&fake.lock);
    }
}

static void small_files_go_together_but_for_the_last(void **state)
{
    int64_t again_ms;

    checkpoint.lanes = 4;
    fake.becoming = slow_to_become;
    write_ten(2);
    assert_int_equal(look(CHECKPOINT_RUNNING, &again_ms), 0);
    assert_non_null(strstr(fake.order, " 3"));
    assert_true(strstr(fake.order, " 3") < strstr(fake.order, " 0"));
    assert_string_equal(fake.order + strlen(fake.order) - 2, " 9");
}

static void nothing_becomes_an_object_after_one_that_did_not(void **state)
{
    int64_t again_ms;

    checkpoint.lanes = 4;
    fake.carried = slow_at_first;
    fake.fault = FAULT_BEFORE;
    fake.faults_in = 3;
    write_ten(2 << 20);
    assert_int_equal(look(CHECKPOINT_RUNNING, &again_ms), -1);
    /* One of the first four was killed, whichever thread came fourth; what came after it is not there. */
    assert_true(strlen(fake.order) <= 2 * 3 && strncmp(" 0 1 2", fake.order, strlen(fake.order)) == 0);
    fake.fault = FAULT_NONE;
    assert_int_equal(look(CHECKPOINT_ENDED, &again_ms), 0);
    assert_int_equal(map_count(fake.objects), 10);
}

static void a_file_that_is_refused_holds_up_no_other(void **state)
{
    struct err err = { 0 };
    int64_t again_ms;

    write_text("gone", "1");
    settle();
    unlink(at("gone"));
    write_text("refused", "1");
    usleep(25000);
    write_text("b", "2");
    assert_int_equal(checkpoint_look(&checkpoint, CHECKPOINT_ENDED, &again_ms, &err), -1);
    assert_string_equal(err.text, "no such name");
    assert_string_equal(object("b"), "2");
    assert_null(object("refused"));
    /* It may be that file under another name. */
    assert_string_equal(object("gone"), "1");
}

/* --- How long it takes --- */

static int64_t passed_ms;

static int64_t boot_ms(struct clock *clock)
{
    return clock_boot_ms(clock_system()) + passed_ms;
}

static int64_t wall_ms(struct clock *clock)
{
    return clock_wall_ms(clock_system());
}

static struct clock skipping = { wall_ms, boot_ms };

static void takes_an_hour(const char *path)
{
    passed_ms += 3600 * 1000;
}

/* The pause after a look follows from it: a checkpoint is no reason to let the next one wait. */
static void only_what_is_put_again_is_busy(void **state)
{
    checkpoint.clock = &skipping;
    fake.carried = takes_an_hour;
    write_text("a", "1");
    settle();
    assert_in_range(checkpoint.busy_ms, 0, 3599 * 1000);
    write_text("a", "12");
    usleep(25000);
    settle();
    assert_in_range(checkpoint.busy_ms, 3600 * 1000, 7199 * 1000);
    write_text("b", "1");
    rename(at("b"), at("a"));
    settle();
    assert_in_range(checkpoint.busy_ms, 0, 3599 * 1000);
}

/* --- What a checkpoint costs --- */

static const struct doc *cost(struct arena *a)
{
    return savings_report(checkpoint.savings, a, &(struct order){ 0 });
}

static void writing_is_timed(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct doc *d;
    int64_t ms, again_ms;
    int fd;

    checkpoint.savings = savings_new();
    /* From its making to its last write, under whatever name. */
    fd = begin_writing("tmp");
    usleep(200000);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    rename(at("tmp"), at("a"));
    usleep(50000);
    settle();
    d = cost(a);
    ms = doc_int(d, "cost_ms", 0);
    assert_in_range(ms, 190, 60000);
    assert_int_equal(doc_int(d, "bytes", 0), 1);
    /* Once more into the same file: from when it was seen to be open. */
    sleep(1);
    fd = begin_writing("a");
    assert_int_equal(look(CHECKPOINT_RUNNING, &again_ms), 0);
    usleep(300000);
    assert_int_equal(write(fd, "xy", 2), 2);
    close(fd);
    settle();
    d = cost(a);
    assert_int_equal(doc_int(d, "count", 0), 2);
    assert_true(doc_int(d, "cost_ms", 0) >= 290);
    savings_free(checkpoint.savings);
    checkpoint.savings = NULL;
}

/* --- Anything, in any order --- */

enum { NAMES = 12, HELD = 3 };

struct story {
    struct rand dice;
    int held[HELD];
    int version;
};

static const char *const names[NAMES] = { "a", "b", "c", "d/a", "d/b", "d/e/a", "d/e/b", "f", "g/a", "g/b",
                                          "h.sagemaker-ignore", "i" };

static const char *any(struct story *s)
{
    return names[rand_below(&s->dice, NAMES)];
}

static void act(struct story *s)
{
    const char *path = any(s);
    int *held = &s->held[rand_below(&s->dice, HELD)];
    struct err ignored;
    char text[64];

    mkdir(at("d"), 0755);
    mkdir(at("d/e"), 0755);
    mkdir(at("g"), 0755);
    switch (rand_below(&s->dice, 9)) {
    case 0:
    case 1:
        snprintf(text, sizeof text, "DONE %d", ++s->version);
        write_text("tmp", text);
        rename(at("tmp"), at(path));
        break;
    case 2:
        snprintf(text, sizeof text, "DONE %d", ++s->version);
        write_text(path, text);
        break;
    case 3:
        /* Half a file for as long as it is open. */
        if (*held < 0) {
            *held = begin_writing(path);
            assert_int_equal(write(*held, "HALF", 4), 4);
        }
        break;
    case 4:
        if (*held >= 0) {
            assert_int_equal(pwrite(*held, "DONE", 4, 0), 4);
            close(*held);
            *held = -1;
        }
        break;
    case 5:
        rename(at(path), at(any(s)));
        break;
    case 6:
        unlink(at(path));
        break;
    case 7:
        if (rand_below(&s->dice, 3) == 0)
            tree_remove(at("d"), &ignored);
        break;
    default:
        usleep((useconds_t)rand_below(&s->dice, 25000));
    }
}

static struct story *story;

static void act_meanwhile(const char *path)
{
    if (rand_below(&story->dice, 4) == 0)
        act(story);
}

static int same_as_object(void *context, int folder, const char *name, const char *path, const struct stat *st,
                          struct err *err)
{
    struct arena *a = context;
    struct str text;

    if (checkpoint_is_marker(name) || text_ends(name, ".sagemaker-ignore"))
        return 0;
    assert_int_equal(file_read(a, at(path), 100, &text, err), 0);
    if (!object(path) || strcmp(object(path), text.data) != 0)
        fail_msg("%s is \"%s\" here and \"%s\" there", path, text.data, object(path) ? object(path) : "(none)");
    return 0;
}

static void no_half_file(void)
{
    struct str key;
    void *value;

    for (size_t place = 0; map_next(fake.objects, &place, &key, &value);)
        if (strncmp(value, "HALF", 4) == 0)
            fail_msg("half a file as " STR_FMT, STR_ARG(key));
}

static void nothing_that_is_not_here(void)
{
    struct str key;
    void *value;

    for (size_t place = 0; map_next(fake.objects, &place, &key, &value);) {
        _cleanup_arena_ struct arena *a = arena_new();

        if (!path_exists(at(str_dup(a, key))))
            fail_msg(STR_FMT " is there, and not here", STR_ARG(key));
    }
}

static void any_story_ends_well(void **state)
{
    const char *seeds = getenv("CHECKPOINT_SEEDS");

    for (uint64_t seed = 1; seed <= (seeds ? (uint64_t)atoi(seeds) : 2); seed++) {
        struct story s = { .dice = rand_seeded(seed), .held = { -1, -1, -1 } };
        _cleanup_arena_ struct arena *a = arena_new();
        _cleanup_fd_ int fd = -1;
        struct err err = { 0 };
        int64_t again_ms;

        if (seed > 1) {
            unmake(NULL);
            make(NULL);
        }
        story = &s;
        checkpoint.lanes = seed % 2 ? 4 : 1;
        fake.meanwhile = act_meanwhile;
        for (int i = 0; i < 100; i++) {
            for (uint64_t n = rand_below(&s.dice, 6); n > 0; n--)
                act(&s);
            fake.fault = (enum fault)rand_below(&s.dice, 3);
            fake.faults_in = (int)rand_below(&s.dice, 4);
            if (look(CHECKPOINT_RUNNING, &again_ms) < 0 || rand_below(&s.dice, 5) == 0)
                restart();
            checkpoint.lanes = seed % 2 ? 4 : 1;
            no_half_file();
        }
        for (int i = 0; i < HELD; i++)
            if (s.held[i] >= 0) {
                assert_int_equal(pwrite(s.held[i], "DONE", 4, 0), 4);
                close(s.held[i]);
            }
        fake.meanwhile = NULL;
        fake.fault = FAULT_NONE;
        if (seed % 2)
            settle();
        assert_int_equal(look(CHECKPOINT_ENDED, &again_ms), 0);
        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(walk(a, fd, &(struct walk){ .file = same_as_object, .context = a }, &err), 0);
        nothing_that_is_not_here();
        no_half_file();
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(files_come_and_go),
        TEST(what_is_not_to_be_uploaded),
        TEST(an_open_file_waits),
        TEST(changes_while_it_is_read),
        TEST(half_a_file_of_a_killed_writer),
        TEST(a_killed_writer_that_was_only_seen),
        TEST(put_before_an_agent_was_killed),
        TEST(an_end_is_an_end),
        TEST(a_folder_that_is_gone_says_nothing),
        TEST(objects_come_in_the_order_of_their_files),
        TEST(what_names_another_file_comes_after_it),
        TEST(small_files_go_together_but_for_the_last),
        TEST(nothing_becomes_an_object_after_one_that_did_not),
        TEST(a_file_that_is_refused_holds_up_no_other),
        TEST(only_what_is_put_again_is_busy),
        TEST(writing_is_timed),
        TEST(any_story_ends_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
