/* links: base doc sign net aws run fleet agent */
/* Who calls at the leader's port: a stranger, and an agent that says what it likes in whatever order. Nothing is
 * written outside of the folder, nothing is left on the way, and what is refused is told. */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/handover_line.h"
#include "agent/handover_receive.h"
#include "base/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned char token[HANDOVER_TOKEN_SIZE] = "known to the fuzzer, not to the ";
static char base[64], folder[96];

struct leader {
    int fd, result;
    bool known;
};

static void *lead(void *data)
{
    struct leader *l = data;
    struct err err;

    l->result = handover_receive(&(struct handover_receiver){ .folder = folder, .host = "algo-2", .number = 2,
                                                              .token = token, .most_bytes = 1 << 20, .cancel_fd = -1 },
                                 l->fd, &l->known, &err);
    shutdown(l->fd, SHUT_RDWR);
    return NULL;
}

/* Frames: kind, size (2 bytes), body. A kind with its highest bit has a MAC that is wrong. */
static void speak(struct handover_line *l, const uint8_t *data, size_t size)
{
    enum handover_kind kind;
    struct str said;
    struct err err;

    if (handover_line_call(l, token, 2, &err) < 0)
        abort();
    while (size >= 3) {
        size_t body = (size_t)data[1] << 8 | data[2];

        if (body > size - 3)
            body = size - 3;
        if (data[0] & 128)
            l->out_key[0] ^= 1;
        if (handover_line_send(l, data[0] & 127, data + 3, body, &err) < 0)
            break;
        data += 3 + body;
        size -= 3 + body;
    }
    shutdown(l->fd, SHUT_WR);
    while (handover_line_receive(l, &kind, &said, &err) == 0)
        assert(kind == HANDOVER_WANTED || kind == HANDOVER_WHOLE || kind == HANDOVER_KEPT ||
               (kind == HANDOVER_REFUSED && said.size > 1));
}

static void check(const struct leader *l)
{
    char path[128];
    DIR *all = opendir(base);
    struct dirent *entry;
    int entries = 0;

    while ((entry = readdir(all)) != NULL)
        entries += *entry->d_name != '.';
    closedir(all);
    assert(entries == 1);
    snprintf(path, sizeof path, "%s/algo-2.done", folder);
    assert(path_exists(path) == (l->result == 0));
    assert(l->result < 0 || l->known);
}

/* The first byte: 0: a stranger. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct leader leader = { 0 };
    pthread_t thread;
    struct err err;
    int fds[2];

    if (size < 1)
        return 0;
    if (!*base) {
        snprintf(base, sizeof base, "/dev/shm/sgb-fuzz-XXXXXX");
        assert(mkdtemp(base));
        snprintf(folder, sizeof folder, "%s/in", base);
    }
    assert(mkdir(folder, 0700) == 0);
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    leader.fd = fds[1];
    assert(pthread_create(&thread, NULL, lead, &leader) == 0);
    if (data[0] == 0) {
        ssize_t sent = send(fds[0], data + 1, size - 1, MSG_NOSIGNAL);

        (void)sent;
        shutdown(fds[0], SHUT_WR);
    } else {
        struct handover_line l = { .fd = fds[0], .cancel_fd = -1, .quiet_ms = 20000 };

        speak(&l, data + 1, size - 1);
        handover_line_end(&l);
    }
    pthread_join(thread, NULL);
    close(fds[0]);
    close(fds[1]);
    check(&leader);
    assert(data[0] != 0 || !leader.known);
    assert(tree_remove(folder, &err) == 0);
    return 0;
}
