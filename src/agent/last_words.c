/* last_words.c - the container may have made of these files whatever it likes: they are opened with care, read up to a
 * limit, and quoted only where they are text. */
#include "agent/last_words.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/cause.h"
#include "base/fd.h"
#include "base/str.h"
#include "run/folder.h"

enum {
    REASON_MAX = 8192,
    MESSAGE_MAX = 1024,
    TAIL_BYTES = 8192,
    CAUSE_MAX = 400, /* leaves room for the reason that it stands before */
};

/* A file of the job's: only a regular one, never through a link, never a pipe that would make us wait. */
static int open_theirs(const char *path)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    struct stat st;

    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
        fd_cleanup(&fd);
    return fd;
}

/* How many bytes the character has that stands there; 0: they are none of UTF-8. */
static size_t character(const char *at, const char *end)
{
    for (size_t size = 1; size <= 4 && size <= (size_t)(end - at); size++)
        if (utf8_valid((struct str){ at, size }))
            return size;
    return 0;
}

/* Each byte that is no text shows as '?': what stands around it still says what was wrong. */
static const char *printable(struct arena *a, const char *data, size_t size)
{
    char *text = arena_strndup(a, data, size), *end = text + size;
    size_t step;

    for (char *p = text; p < end; p += step ? step : 1) {
        step = character(p, end);
        if (!step)
            *p = '?';
        else if ((unsigned char)*p < ' ' && *p != '\n' && *p != '\t')
            *p = ' ';
    }
    return text;
}

/* The end of its log, in 'text'. */
static struct str log_tail(struct arena *a, const struct last_words *w, char text[static TAIL_BYTES])
{
    _cleanup_fd_ int output = open_theirs(arena_printf(a, "%s/" FOLDER_OUTPUT, w->folder));
    struct stat st;
    ssize_t n;

    if (output < 0 || fstat(output, &st) < 0)
        return STR("");
    n = pread(output, text, TAIL_BYTES, st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0);
    return (struct str){ text, n > 0 ? (size_t)n : 0 };
}

static struct str last_line(struct str text)
{
    struct str words = str_trim(text);
    const char *before = memrchr(words.data, '\n', words.size);

    return before ? str_trim((struct str){ before, words.size - (size_t)(before - words.data) }) : words;
}

/* Launchers, such as those of the SDK's ModelTrainer, tell no more than that the program ended; it said why itself. */
static const char *with_cause(struct arena *a, const struct last_words *w, struct str reason)
{
    const char *told = printable(a, reason.data, reason.size);
    char text[TAIL_BYTES];
    struct str cause;

    if (!str_starts(last_line(reason), "subprocess.CalledProcessError: "))
        return told;
    cause = utf8_first(cause_of_called(log_tail(a, w, text)), CAUSE_MAX);
    return cause.size ? arena_printf(a, "%s\n%s", printable(a, cause.data, cause.size), told) : told;
}

const char *last_words(struct arena *a, const struct last_words *w)
{
    _cleanup_fd_ int reason = -1;
    char text[REASON_MAX + 1];
    struct err none;
    struct str words = { 0 };
    ssize_t n;

    if (file_open_beneath(w->ml, arena_printf(a, "output/%s", w->reason_file), &reason, &none) == 0) {
        n = read(reason, text, sizeof text);
        /* The verdict shortens it to what AWS shows. */
        words = n > 0 ? utf8_first((struct str){ text, (size_t)n }, REASON_MAX) : words;
        if (words.size)
            return with_cause(a, w, words);
    }
    words = cause_in(log_tail(a, w, text));
    return printable(a, words.data, words.size);
}

int last_words_message(struct arena *a, const struct last_words *w, const char **ret, struct err *err)
{
    char text[MESSAGE_MAX + 1];
    _cleanup_fd_ int fd = -1;
    struct str message;
    struct err ignored;
    ssize_t n;

    *ret = "";
    if (file_open_beneath(w->ml, "output/message", &fd, &ignored) < 0)
        return 0;
    n = read(fd, text, sizeof text);
    if (n <= 0)
        return 0;
    message = utf8_first((struct str){ text, (size_t)n }, MESSAGE_MAX);
    if (memchr(text, 0, message.size) || !utf8_valid(message))
        return fail(err, ERR_INVALID, "what the job wrote to /opt/ml/output/message is no UTF-8 text");
    *ret = str_dup(a, message);
    return 0;
}
