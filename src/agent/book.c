/* book.c - one line an event: "? PATH", "^ UPLOAD PATH", "+ MARK PATH", "- PATH", "! INODE PATH", "x" before the kill,
 * "." at the end; '%' escapes.
 *
 * A disk that is full keeps nobody from uploading: what could not be written is known as long as the agent lives, and
 * after it a file is uploaded once more than needed. */
#include "agent/book.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/map.h"

#define BOOK_FILE "checkpoints.log"

enum { SIZE_MAX_BYTES = 1 << 30, LINES_SPARE = 20000 };

struct note {
    char *mark; /* NULL: neither intended nor noted */
    char *upload; /* NULL: none */
    int64_t torn_inode;
};

struct book {
    pthread_mutex_t lock;
    char *path;
    struct map *notes;
    size_t lines;
    atomic_bool killed, closed;
    int fd;
};

static void note_free(struct note *n)
{
    if (n) {
        free(n->mark);
        free(n->upload);
    }
    free(n);
}

static struct note *note_of(struct book *b, struct str path)
{
    struct note *n = map_get(b->notes, path);

    if (!n) {
        n = calloc(1, sizeof *n);
        assert(n);
        map_set(b->notes, path, n);
    }
    return n;
}

static void set_text(char **text, struct str to)
{
    free(*text);
    *text = strndup(to.size ? to.data : "", to.size);
    assert(*text);
}

/* What a line says, in memory. Lines that make no sense are left out. */
static void apply(struct book *b, struct arena *a, struct str line)
{
    struct str word = { line.data + 2, line.size - 2 }, rest = word, path;
    struct note *n;
    int64_t inode;

    if (str_is(line, "x"))
        b->killed = true;
    if (str_is(line, "."))
        b->closed = true;
    if (line.size < 3 || line.data[1] != ' ')
        return;
    if (strchr("+!^", line.data[0]) && !str_cut(word, ' ', &word, &rest))
        return;
    path = uri_decode(a, rest, false);
    if (!path.size || memchr(path.data, '\0', path.size))
        return;
    switch (line.data[0]) {
    case '?':
        n = note_of(b, path);
        if (!n->mark)
            set_text(&n->mark, STR(""));
        break;
    case '^':
        if (!word.size)
            break;
        n = note_of(b, path);
        if (!n->mark)
            set_text(&n->mark, STR(""));
        set_text(&n->upload, word);
        break;
    case '+':
        n = note_of(b, path);
        set_text(&n->mark, word);
        free(n->upload);
        n->upload = NULL;
        n->torn_inode = 0;
        break;
    case '!':
        if (str_to_int64(word, &inode))
            note_of(b, path)->torn_inode = inode;
        break;
    case '-':
        note_free(map_remove(b->notes, path));
        break;
    default:
        break;
    }
}

static void write_line(struct buf *text, char kind, const char *word, struct str path)
{
    buf_printf(text, "%c %s%s", kind, word, *word ? " " : "");
    uri_encode(text, path, true);
    buf_append_char(text, '\n');
}

/* Replaces the file by what is known. */
static int rewrite(struct book *b, struct err *err)
{
    _cleanup_buf_ struct buf text = { 0 };
    char inode[32];
    struct str path;
    void *value;

    for (size_t at = 0; map_next(b->notes, &at, &path, &value);) {
        const struct note *n = value;

        if (n->mark && *n->mark)
            write_line(&text, '+', n->mark, path);
        else if (n->mark)
            write_line(&text, '?', "", path);
        if (n->upload)
            write_line(&text, '^', n->upload, path);
        snprintf(inode, sizeof inode, "%lld", (long long)n->torn_inode);
        if (n->torn_inode)
            write_line(&text, '!', inode, path);
    }
    if (b->killed)
        buf_append_str(&text, "x\n");
    if (b->closed)
        buf_append_str(&text, ".\n");
    if (file_write_atomic(b->path, text.data ? text.data : "", text.size, 0600, err) < 0)
        return -1;
    fd_cleanup(&b->fd);
    b->fd = open(b->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    b->lines = map_count(b->notes);
    return b->fd < 0 ? fail_errno(err, errno, "open %s", b->path) : 0;
}

static void append(struct book *b, char kind, const char *word, const char *path)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_buf_ struct buf line = { 0 };
    struct err ignored;

    write_line(&line, kind, word, str_of(path));
    pthread_mutex_lock(&b->lock);
    apply(b, a, (struct str){ line.data, line.size - 1 });
    if (++b->lines > 4 * map_count(b->notes) + LINES_SPARE)
        rewrite(b, &ignored);
    else
        fd_write_all(b->fd, line.data, line.size, &ignored);
    pthread_mutex_unlock(&b->lock);
}

/* On a disk that has no room for a new one. A line that was cut off is ended, and then makes no sense. */
static int append_to_old(struct book *b, struct err *err)
{
    struct err ignored;

    b->fd = open(b->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (b->fd < 0)
        return fail_errno(err, errno, "open %s", b->path);
    fd_write_all(b->fd, "\n", 1, &ignored);
    return 0;
}

static const char *path_of(struct arena *a, const char *folder)
{
    return arena_printf(a, "%s/" BOOK_FILE, folder);
}

int book_open(const char *folder, struct book **ret, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct book *b = calloc(1, sizeof *b);
    struct str text = { 0 }, line;

    assert(b);
    pthread_mutex_init(&b->lock, NULL);
    b->path = strdup(path_of(a, folder));
    assert(b->path);
    b->notes = map_new();
    b->fd = -1;
    if (file_read(a, b->path, SIZE_MAX_BYTES, &text, err) < 0 && err->kind != ERR_NOT_FOUND) {
        book_free(b);
        return -1;
    }
    /* A last line without its end was being written when the agent was killed: what it tells of had not begun, or is
     * seen again. */
    while (str_cut(text, '\n', &line, &text))
        apply(b, a, line);
    if (rewrite(b, err) < 0 && append_to_old(b, err) < 0) {
        book_free(b);
        return -1;
    }
    *ret = b;
    return 0;
}

void book_free(struct book *b)
{
    struct str path;
    void *value;

    if (!b)
        return;
    for (size_t at = 0; map_next(b->notes, &at, &path, &value);)
        note_free(value);
    map_free(b->notes);
    fd_cleanup(&b->fd);
    pthread_mutex_destroy(&b->lock);
    free(b->path);
    free(b);
}

int book_remove(const char *folder, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *path = path_of(a, folder);

    return unlink(path) < 0 && errno != ENOENT ? fail_errno(err, errno, "remove %s", path) : 0;
}

void book_intend(struct book *b, const char *path)
{
    append(b, '?', "", path);
}

void book_begin_upload(struct book *b, const char *path, const char *upload)
{
    assert(*upload && !strchr(upload, ' '));
    append(b, '^', upload, path);
}

void book_note(struct book *b, const char *path, const char *mark)
{
    assert(!strchr(mark, ' '));
    append(b, '+', mark, path);
}

void book_forget(struct book *b, const char *path)
{
    append(b, '-', "", path);
}

void book_torn(struct book *b, const char *path, int64_t inode)
{
    char word[32];

    snprintf(word, sizeof word, "%lld", (long long)inode);
    append(b, '!', word, path);
}

void book_kill(struct book *b)
{
    struct err ignored;

    pthread_mutex_lock(&b->lock);
    b->killed = true;
    fd_write_all(b->fd, "x\n", 2, &ignored);
    pthread_mutex_unlock(&b->lock);
}

bool book_killed(const struct book *b)
{
    return b->killed;
}

int book_close(struct book *b, struct err *err)
{
    int r;

    pthread_mutex_lock(&b->lock);
    b->closed = true;
    r = fd_write_all(b->fd, ".\n", 2, err);
    if (r == 0 && fdatasync(b->fd) < 0)
        r = fail_errno(err, errno, "write %s", b->path);
    pthread_mutex_unlock(&b->lock);
    return r;
}

bool book_closed(const struct book *b)
{
    return b->closed;
}

bool book_find(struct book *b, struct arena *a, const char *path, struct book_entry *ret)
{
    const struct note *n;

    pthread_mutex_lock(&b->lock);
    n = map_get(b->notes, str_of(path));
    if (n)
        *ret = (struct book_entry){ arena_strdup(a, n->mark ? n->mark : ""), n->torn_inode };
    pthread_mutex_unlock(&b->lock);
    return n != NULL;
}

const struct book_upload *book_uploads(struct book *b, struct arena *a)
{
    struct book_upload *list;
    size_t count = 0;
    struct str path;
    void *value;

    pthread_mutex_lock(&b->lock);
    list = arena_array_of(a, struct book_upload, map_count(b->notes) + 1);
    for (size_t at = 0; map_next(b->notes, &at, &path, &value);)
        if (((struct note *)value)->upload)
            list[count++] = (struct book_upload){ str_dup(a, path), arena_strdup(a, ((struct note *)value)->upload) };
    pthread_mutex_unlock(&b->lock);
    return list;
}

const char **book_paths(struct book *b, struct arena *a)
{
    const char **list;
    size_t count = 0;
    struct str path;
    void *value;

    pthread_mutex_lock(&b->lock);
    list = arena_array_of(a, const char *, map_count(b->notes) + 1);
    for (size_t at = 0; map_next(b->notes, &at, &path, &value);)
        if (((struct note *)value)->mark)
            list[count++] = str_dup(a, path);
    pthread_mutex_unlock(&b->lock);
    return list;
}
