/* up.c - `sagebrush up`, `down` and `restart`: the first start of a data directory, and every other. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/rand.h"
#include "cmd/client_files.h"
#include "cmd/command.h"
#include "cmd/folder.h"
#include "cmd/machine.h"
#include "cmd/settings.h"
#include "cmd/supervisor.h"
#include "doc/json.h"
#include "net/tls.h"

#define CONFIG_FILE "/etc/sagebrush.conf"

enum { NAMES_MAX = 64 };

static bool in_background;
static int socket_kept = -1; /* by `sagebrush restart` */
static const char *config_file, *port, *bind_address, *runtime, *region, *account, *fleet;

static const struct command_option options[] = {
    { "daemon", NULL, "Goes to the background once the server answers; logs are then in DIR/log.",
      .flag = &in_background },
    { "port", "N", "The setting port.", .text = &port },
    { "bind", "ADDR", "The setting bind.", .text = &bind_address },
    { "runtime", "KIND", "The setting runtime.", .text = &runtime },
    { "region", "REGION", "The setting region.", .text = &region },
    { "account", "ID", "The setting account.", .text = &account },
    { "fleet", "FILE", "The setting fleet; \"\" for none.", .text = &fleet },
    { "config", "FILE", "The configuration file. Default: " CONFIG_FILE ", if it is there.", .text = &config_file },
    {},
};

/* From here on it is read by processes that stand in another folder. One that is not there has a whole path, too:
 * machine_check() says what is wrong with it. */
static const char *whole_path(struct arena *a, const char *path)
{
    char *real = path && *path ? realpath(path, NULL) : NULL;
    char *here = path && *path && *path != '/' && !real ? getcwd(NULL, 0) : NULL;
    const char *whole = real ? arena_strdup(a, real) : here ? arena_printf(a, "%s/%s", here, path) : path;

    free(real);
    free(here);
    return whole;
}

static int read_settings(struct arena *a, const char *data, struct settings *s, struct err *err)
{
    const struct {
        const char *key, *value;
    } given[] = {
        { "port", port },     { "bind", bind_address }, { "runtime", runtime },
        { "region", region }, { "account", account }, { "fleet", whole_path(a, fleet) },
    };
    const char *before = NULL;

    settings_defaults(s);
    if (path_exists(arena_printf(a, "%s/config", data))) {
        if (settings_read(a, data, s, err) < 0)
            return -1;
        before = s->account;
    }
    if (config_file || path_exists(CONFIG_FILE))
        if (settings_read_file(a, config_file ? config_file : CONFIG_FILE, s, err) < 0)
            return -1;
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (given[i].value && settings_set(a, s, given[i].key, given[i].value, err) < 0)
            return -1;
    if (before && strcmp(before, s->account) != 0)
        return fail(err, ERR_CONFLICT,
                    "%s belongs to account %s: what is stored there carries that number, so it "
                    "cannot become %s. Use another --data directory.",
                    data, before, s->account);
    return machine_check(s, clock_system(), err);
}

/* Made, and this user's to write in. */
static int make_data_folder(const char *data, struct err *err)
{
    const char *remedy = geteuid() == 0 ? "" : ", or start as root: `sudo sagebrush up`";
    struct stat st;

    if (folder_make(data, 0755, err) < 0)
        return fail(err, err->kind, "the data directory %s cannot be made: %s. Choose another with --data DIR%s", data,
                    err->text, remedy);
    if (stat(data, &st) == 0 && !S_ISDIR(st.st_mode))
        return fail(err, ERR_INVALID, "--data %s: that is a file, and the data directory is a folder", data);
    if (access(data, W_OK | X_OK) < 0)
        return fail(err, ERR_DENIED, "the data directory %s cannot be written: %s. Choose another with --data DIR%s",
                    data, strerror(errno), remedy);
    return 0;
}

/* The first access key: of the account's root. The control plane takes it over when it first starts. */
static int make_root_key(struct arena *a, const char *data, struct err *err)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    const char *path = arena_printf(a, "%s/secrets/root-key.json", data);
    struct doc *key = doc_map(a);
    unsigned char secret[30];
    char id[21] = "AKIA";
    char *text;

    if (path_exists(path))
        return 0;
    for (size_t i = 4; i < 20; i++)
        id[i] = letters[rand_below(rand_system(), 32)];
    rand_system()->fill(rand_system(), secret, sizeof secret);
    doc_set_string(a, key, "access_key_id", id);
    doc_set_string(a, key, "secret_access_key", base64_encode(a, secret, sizeof secret));
    text = json_text(a, key);
    return file_write_atomic(path, text, strlen(text), 0600, err);
}

/* The certificate is for every name by which this machine may be called. */
static int make_certificate(struct arena *a, const char *data, const struct settings *s, struct err *err)
{
    const char *names[NAMES_MAX] = { "localhost", "127.0.0.1", "::1" };
    struct str rest = str_of(s->names);
    char host[256] = "";
    int count = 3;

    if (strcmp(s->address, "127.0.0.1") != 0 && strcmp(s->address, "::1") != 0 && strcmp(s->address, "0.0.0.0") != 0 &&
        strcmp(s->address, "::") != 0)
        names[count++] = s->address;
    if (*s->slurm.server)
        names[count++] = s->slurm.server;
    if (gethostname(host, sizeof host - 1) == 0 && *host)
        names[count++] = host;
    while (rest.size && count < NAMES_MAX) {
        size_t size = 0;

        while (size < rest.size && rest.data[size] != ',' && rest.data[size] != ' ')
            size++;
        if (size)
            names[count++] = arena_strndup(a, rest.data, size);
        rest.data += size < rest.size ? size + 1 : size;
        rest.size -= size < rest.size ? size + 1 : size;
    }
    return tls_make_ca(arena_printf(a, "%s/secrets", data), names, count, clock_system(), err);
}

struct announcement {
    const struct settings *settings;
    const char *data;
    int pipe; /* to the command in the foreground; -1: there is none */
};

static void announce(const void *data, const char *why)
{
    const struct announcement *n = data;
    _cleanup_arena_ struct arena *a = arena_new();

    if (n->pipe >= 0) {
        if (why)
            dprintf(n->pipe, "%s; its logs are in %s/log", why, n->data);
        else
            dprintf(n->pipe, "ready");
        return;
    }
    if (why) {
        log_error("supervisor.not_ready", "error=%s", log_quote(a, why));
        return;
    }
    printf("Sagebrush " SAGEBRUSH_VERSION " is ready at https://%s (plain HTTP too, on this machine), data in %s.\n"
           "In a shell:  eval \"$(%s%s env --data %s)\"\n",
           client_host(a, n->settings), n->data, getenv("SUDO_USER") ? "sudo " : "", program_invocation_name, n->data);
    fflush(stdout);
}

/* In the foreground process: passes on what the background one says, and ends with it. */
static int wait_for(struct arena *a, int pipe, const struct announcement *n, struct err *err)
{
    struct str said = { 0 };
    struct announcement mine = *n;
    struct pollfd pollfd = { .fd = pipe, .events = POLLIN };
    char text[4096];
    ssize_t size;

    poll(&pollfd, 1, -1);
    size = read(pipe, text, sizeof text);
    said = (struct str) { text, size > 0 ? (size_t)size : 0 };
    if (!str_is(said, "ready"))
        return said.size ? fail(err, ERR_UNAVAILABLE, STR_FMT, STR_ARG(said))
                         : fail(err, ERR_UNAVAILABLE, "the server ended while it started up; its logs are in %s/log",
                                n->data);
    mine.pipe = -1;
    announce(&mine, NULL);
    return 0;
}

/* Returns in the background process only, with 0; *ret_pipe is where it says how it went. */
static int to_background(struct arena *a, const char *data, struct announcement *n, int *ret_status, struct err *err)
{
    const char *path = arena_printf(a, "%s/log/supervisor.log", data);
    int ends[2], null, log;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail_errno(err, errno, "pipe");
    fflush(stdout);
    pid = fork();
    if (pid < 0)
        return fail_errno(err, errno, "fork");
    if (pid > 0) {
        close(ends[1]);
        *ret_status = wait_for(a, ends[0], n, err);
        return 1;
    }
    close(ends[0]);
    n->pipe = ends[1];
    setsid();
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (null < 0 || log < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0) {
        dprintf(ends[1], "cannot write %s: %s", path, strerror(errno));
        _exit(1);
    }
    return 0;
}

static int run(struct arena *a, char **words, int count, struct err *err)
{
    struct supervisor_config config = { 0 };
    struct announcement announcement = { .pipe = -1 };
    const char *data, *run_folder;
    _cleanup_fd_ int lock = -1;
    struct settings s;
    int status = 0, result;

    umask(022);
    if (settings_data_folder(a, command_data, &data, err) < 0 || make_data_folder(data, err) < 0 ||
        settings_data_folder(a, data, &data, err) < 0 || settings_run_folder(a, data, &run_folder, err) < 0 ||
        read_settings(a, data, &s, err) < 0 || folder_lock(a, data, &lock, err) < 0)
        return -1;
    if (folder_prepare(a, data, run_folder, err) < 0 || settings_write(data, &s, err) < 0 ||
        make_root_key(a, data, err) < 0 || make_certificate(a, data, &s, err) < 0 ||
        client_files_write(a, data, &s, err) < 0)
        return -1;
    machine_warn(&s, data);
    announcement.settings = &s;
    announcement.data = data;
    if (in_background) {
        result = to_background(a, data, &announcement, &status, err);
        if (result != 0)
            return result < 0 ? -1 : status;
        config.log_folder = arena_printf(a, "%s/log", data);
    }
    log_setup("supervisor", strcmp(s.log_level, "debug") == 0 ? LOG_DEBUG : LOG_INFO);
    config.data_folder = data;
    config.run_folder = run_folder;
    config.address = s.address;
    config.port = (int)s.port;
    config.socket = socket_kept;
    result = process_save(arena_printf(a, "%s/up.pid", run_folder), getpid(), err);
    /* The lock names who supervises, which since the fork is somebody else. */
    if (result == 0 &&
        pwrite(lock, arena_printf(a, "%d\n", (int)getpid()), strlen(arena_printf(a, "%d\n", (int)getpid())), 0) < 0)
        result = fail_errno(err, errno, "write %s/lock", data);
    if (result == 0)
        result = supervisor_run(a, &config, announce, &announcement, err);
    unlink(arena_printf(a, "%s/up.pid", run_folder));
    if (result < 0 && announcement.pipe >= 0)
        dprintf(announcement.pipe, "%s", err->text);
    return result;
}

static int end(const struct process *supervisor, struct err *err)
{
    struct pollfd pollfd = { .fd = supervisor->fd, .events = POLLIN };

    process_signal(supervisor, SIGTERM);
    if (poll(&pollfd, 1, 90000) <= 0)
        return fail(err, ERR_UNAVAILABLE, "process %d did not end within 90 s", (int)supervisor->pid);
    return 0;
}

static int find_running(struct arena *a, const char **ret_data, struct process *ret, struct err *err)
{
    if (settings_data_folder(a, command_data, ret_data, err) < 0 || folder_supervisor(a, *ret_data, ret, err) < 0)
        return -1;
    return ret->fd < 0 ? fail(err, ERR_NOT_FOUND, "no server is running on %s", *ret_data) : 0;
}

static int run_down(struct arena *a, char **words, int count, struct err *err)
{
    struct process supervisor;
    const char *data;

    if (find_running(a, &data, &supervisor, err) < 0 || end(&supervisor, err) < 0)
        return -1;
    process_close(&supervisor);
    printf("The server on %s has ended; jobs and endpoints that were running go on.\n", data);
    return 0;
}

/* Whether we started it so that we may put another in its place; else somebody (a terminal, systemd) waits for its
 * end. */
static bool runs_in_background(struct arena *a, const struct process *p)
{
    struct str words, word;
    struct err ignored;

    if (file_read(a, arena_printf(a, "/proc/%d/cmdline", (int)p->pid), 1 << 16, &words, &ignored) < 0)
        return false;
    while (str_cut(words, '\0', &word, &words))
        if (str_is(word, "--daemon") || str_is(word, "restart"))
            return true;
    return false;
}

static int run_restart(struct arena *a, char **words, int count, struct err *err)
{
    struct process supervisor;
    const char *data, *run_folder;
    struct settings s;

    /* What would keep the next one from starting is said while this one runs. */
    if (find_running(a, &data, &supervisor, err) < 0 || settings_run_folder(a, data, &run_folder, err) < 0 ||
        read_settings(a, data, &s, err) < 0)
        return -1;
    if (!runs_in_background(a, &supervisor))
        return fail(err, ERR_CONFLICT, "the server on %s (process %d) runs in the foreground: whoever started it "
                    "(`systemctl restart sagebrush`, a terminal) has to start it again", data, (int)supervisor.pid);
    socket_kept = supervisor_socket(a, run_folder);
    if (end(&supervisor, err) < 0)
        return -1;
    process_close(&supervisor);
    in_background = true;
    return run(a, words, count, err);
}

static const char up_about[] =
    "Starts the server: the control plane, the data plane on one public port for TLS and plain HTTP, and a supervisor "
    "that keeps both alive. Stays in the foreground unless --daemon is given.\n"
    "\n"
    "The first start makes the data directory, a certificate authority, and the first access key. SIGTERM, or "
    "`sagebrush down`, ends the server cleanly; training jobs and endpoints that run go on, and the next start finds "
    "them.\n"
    "\n"
    "Settings are `key = value` lines in the configuration file, with # comments; some are options too. An option wins "
    "over the file, the file over what the directory was set to before, and that over the default (SETTINGS, below).";

const struct command up_command = {
    .name = "up",
    .usage = "[--daemon] [--port N] [--bind ADDR] [--config FILE]",
    .summary = "start the server",
    .about = up_about,
    .options = options,
    .settings = setting_table,
    .run = run,
};

const struct command down_command = {
    .name = "down",
    .usage = "",
    .summary = "end the server cleanly; jobs and endpoints go on",
    .about =
        "Sends SIGTERM to the supervisor and waits until control plane and data plane have ended. Training jobs and "
        "endpoints that are running go on; the next `sagebrush up` finds them.",
    .run = run_down,
};

const struct command restart_command = {
    .name = "restart",
    .usage = "[--port N] [--bind ADDR] [--config FILE]",
    .summary = "end the server and start it again, with no connection refused",
    .about =
        "Ends a server that runs in the background, and starts another on the same data directory: with the programs "
        "that are installed now, and settings and fleet file as they are now. The port stays open: who asks meanwhile "
        "waits for the answer. Jobs and endpoints go on. Settings that are wrong are told, and nothing is ended.",
    .options = options + 1, /* in the background it is anyway */
    .run = run_restart,
};
