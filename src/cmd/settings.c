/* settings.c - what a data directory is set to, and where its parts are. */
#include "cmd/settings.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc.h"
#include "base/fd.h"
#include "base/nearest.h"
#include "base/str.h"
#include "doc/json.h"
#include "net/address.h"

enum { FILE_MAX_BYTES = 1 << 20, SETTINGS_MOST = 64 };

const struct setting setting_table[] = {
    { "bind", "127.0.0.1",
      "The address to listen on. Plain HTTP is answered to this machine only, TLS to everybody who can reach the "
      "address.",
      "a numeric IPv4 or IPv6 address" },
    { "port", "8443", "The public port, for TLS and plain HTTP alike.", "a number from 1 to 65535" },
    { "region", "us-east-1", "The region of what names none, and the one that `sagebrush env` prints.",
      "a region's name, such as us-east-1" },
    { "account", "111122223333", "The account of the first key. It cannot be changed once resources carry it.",
      "12 digits" },
    { "runtime", "container",
      "How jobs and endpoints run: container (runc, needs root), process (no isolation, only the programs that come "
      "with Sagebrush), slurm (jobs as containers on a Slurm cluster, endpoints on this machine), or sim (nothing is "
      "run at all: jobs end at once, for unit tests of your own code).",
      "container, process, slurm or sim" },
    { "slurm-partition", "", "With slurm: the partition of the jobs. Default: the cluster's own.",
      "names as Slurm's, parted by commas" },
    { "slurm-account", "", "With slurm: the account that sbatch is told.", "a name as Slurm's" },
    { "slurm-qos", "", "With slurm: the quality of service that sbatch is told.", "a name as Slurm's" },
    { "slurm-spot-partition", "", "The partition of spot jobs, one that is preempted. Default: slurm-partition.",
      "names as Slurm's, parted by commas" },
    { "slurm-spot-qos", "", "The quality of service of spot jobs. Default: slurm-qos.", "a name as Slurm's" },
    { "slurm-gpu-types", "",
      "The types of GPUs in gres.conf by instance type or family of types: ml.p4d:a100 ml.g5.xlarge:a10g. Default: any "
      "GPU will do.",
      "pairs like ml.p4d:a100, parted by spaces" },
    { "slurm-options", "", "Further options for sbatch, parted by spaces; they go before our own.",
      "options that begin with -" },
    { "slurm-notice", "30",
      "How many seconds Slurm leaves a job between SIGTERM and SIGKILL: its KillWait, and the GraceTime of the "
      "partition of spot jobs.",
      "a number of seconds from 1 to 86400" },
    { "slurm-server", "",
      "The address of this machine by which nodes that are other machines reach the public port. Default: none; jobs "
      "that Slurm puts on other machines fail.",
      "a numeric IPv4 or IPv6 address by which other machines reach this one" },
    { "slurm-scratch", "/var/tmp/sagebrush",
      "The folder on such a node's own disk for what containers write. It is cleared when a job is over.",
      "the absolute path of a folder" },
    { "names", "", "Further host names or addresses for the TLS certificate, parted by commas.", "names" },
    { "images", "",
      "The folder of image archives: oci-archive:FILE.tar as the image of a job or a model is read from here and from "
      "nowhere else, for whoever may create jobs may have it opened by root. Default: images/archives in the data "
      "directory.",
      "the absolute path of a folder" },
    { "fleet", "",
      "The fleet file (docs/manual/fleet.md): this machine as nodes, with types, prices, quotas, priorities and fair "
      "share. It is read at each start. Default: none; any instance type is accepted, and what does not fit waits.",
      "the absolute path of a file" },
    { "disk-reserve", "1G", "Free space that is kept for records: uploads are refused before the disk is full.",
      "bytes, or a number with K, M or G" },
    { "checkpoint-rate", "256M",
      "How many bytes a second of checkpoints a running job's agent uploads, so that the job keeps its disk and its "
      "cores; at the end of a job there is no limit. 0: none at all.",
      "bytes, or a number with K, M or G" },
    { "hang-after", "off",
      "A training job all of whose instances do nothing for so long - no line of their logs, no core and no GPU used - "
      "is ended, and starts again where its RetryStrategy says so. Its variable SAGEBRUSH_HANG_AFTER is stronger.",
      "a duration such as 30m or 2h, or off" },
    { "silent-after", "off",
      "A training job none of whose instances writes a line to its log for so long is ended, though it may use cores "
      "and GPUs: so hang ranks that wait for another one. Its variable SAGEBRUSH_SILENT_AFTER is stronger.",
      "a duration such as 30m or 2h, or off" },
    { "nccl-library", "",
      "The libnccl.so.2 by which the instances of a job with EnableInfraCheck are checked together, where they have "
      "GPUs. Default: what the loader finds; without one they are checked over TCP alone.",
      "the absolute path of a file" },
    { "file-systems", "",
      "The folders that stand for file systems, as ID:FOLDER, parted by commas: fs-0123abcd:/srv/data. A training job "
      "may read and write below the folder of the FileSystemId that a channel names, as root, and nowhere else.",
      "ID:FOLDER pairs with absolute paths, IDs as fs-0123abcd" },
    { "vpc", "",
      "The subnets and the security groups that the network of this server already is, by their ids, parted by commas. "
      "A VpcConfig that names no others is taken, and changes nothing: a container reaches what its machine lets it "
      "reach. Default: none; every VpcConfig is refused.",
      "ids such as subnet-0a1b2c3d and sg-0a1b2c3d" },
    { "log-level", "info", "What is logged: debug, info, warning or error.", "debug, info, warning or error" },
    {},
};

static int size_of(const char *text, int64_t *ret)
{
    struct str s = str_trim(str_of(text));
    int64_t unit = 1, n;

    if (s.size && strchr("kKmMgG", s.data[s.size - 1])) {
        char c = s.data[--s.size];

        unit = c == 'k' || c == 'K' ? 1 << 10 : c == 'm' || c == 'M' ? 1 << 20 : 1 << 30;
    }
    if (!str_to_int64(s, &n) || n < 0 || n > INT64_MAX / unit)
        return -1;
    *ret = n * unit;
    return 0;
}

static bool one_of(const char *value, const char *const *allowed)
{
    for (; *allowed; allowed++)
        if (strcmp(value, *allowed) == 0)
            return true;
    return false;
}

static bool region_named(const char *value)
{
    size_t size = strlen(value);

    return size >= 3 && size <= 63 && strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-") == size &&
           value[0] != '-' && value[size - 1] != '-';
}

/* Only of our own bytes: names go into a certificate and into JSON. */
static bool names_fit(const char *value)
{
    for (; *value; value++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:, ", *value))
            return false;
    return true;
}

static bool file_systems_fit(const char *value)
{
    for (value += strspn(value, ", "); *value; value += strspn(value, ", ")) {
        size_t digits = text_starts(value, "fs-") ? strspn(value + 3, "0123456789abcdef") : 0;

        if (digits < 8 || digits > 18 || value[3 + digits] != ':' || value[4 + digits] != '/')
            return false;
        value += strcspn(value, ", ");
    }
    return true;
}

static bool vpc_fits(const char *value)
{
    for (value += strspn(value, ", "); *value; value += strspn(value, ", ")) {
        size_t size = strcspn(value, ", "), kind = strcspn(value, "-") + 1;

        if ((!text_starts(value, "subnet-") && !text_starts(value, "sg-")) || kind == size ||
            strspn(value, "-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != size)
            return false;
        value += size;
    }
    return true;
}

static const struct {
    const char *key, *member; /* of the setting, and in the file's map "slurm" */
    size_t at;
} slurm_texts[] = {
    { "slurm-partition", "partition", offsetof(struct settings, slurm.partition) },
    { "slurm-account", "account", offsetof(struct settings, slurm.account) },
    { "slurm-qos", "qos", offsetof(struct settings, slurm.qos) },
    { "slurm-spot-partition", "spot_partition", offsetof(struct settings, slurm.spot_partition) },
    { "slurm-spot-qos", "spot_qos", offsetof(struct settings, slurm.spot_qos) },
    { "slurm-gpu-types", "gpu_types", offsetof(struct settings, slurm.gpu_types) },
    { "slurm-options", "options", offsetof(struct settings, slurm.options) },
    { "slurm-server", "server", offsetof(struct settings, slurm.server) },
    { "slurm-scratch", "scratch", offsetof(struct settings, slurm.scratch) },
};
#define SLURM_SCRATCH "/var/tmp/sagebrush"
enum { SLURM_TEXTS = sizeof slurm_texts / sizeof *slurm_texts, SLURM_NOTICE_S = 30 };

static const char **slurm_text(struct settings *s, int i)
{
    return (const char **)(void *)((char *)s + slurm_texts[i].at);
}

static bool is_address(const char *value)
{
    unsigned char address[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, value, address) == 1 || inet_pton(AF_INET6, value, address) == 1;
}

static bool is_reached_from_elsewhere(const char *value)
{
    struct sockaddr_storage address;

    return address_read(value, 0, &address) && address_is_of_a_machine(&address);
}

static bool are_gpu_types(const char *value)
{
    for (value += strspn(value, " \t"); *value; value += strspn(value, " \t")) {
        size_t size = strcspn(value, " \t"), type = strcspn(value, ":");
        const char *gpu = value + type + 1;

        if (type == 0 || type + 1 >= size || !text_starts(value, "ml.") ||
            strspn(gpu, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != size - type - 1)
            return false;
        value += size;
    }
    return true;
}

/* Words for a command line, given to it one by one: no shell sees them. */
static bool slurm_fits(const char *key, const char *value)
{
    bool options = strcmp(key, "slurm-options") == 0;

    if (strcmp(key, "slurm-server") == 0)
        return !*value || is_reached_from_elsewhere(value);
    if (strcmp(key, "slurm-gpu-types") == 0)
        return are_gpu_types(value);
    if (strcmp(key, "slurm-scratch") == 0)
        return *value == '/';
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c > '~' || (!options && strchr(" '\"\\|", *c)))
            return false;
    return !options || !*value || *value == '-';
}

static bool slurm_set(struct arena *a, struct settings *s, const char *key, const char *value)
{
    int64_t seconds = 0;

    for (int i = 0; i < SLURM_TEXTS; i++)
        if (strcmp(key, slurm_texts[i].key) == 0) {
            if (!slurm_fits(key, value))
                return false;
            *slurm_text(s, i) = arena_strdup(a, value);
            return true;
        }
    assert(strcmp(key, "slurm-notice") == 0);
    if (!str_to_int64(str_of(value), &seconds) || seconds < 1 || seconds > 86400)
        return false;
    s->slurm.notice_s = seconds;
    return true;
}

static int refuse_key(const char *key, struct err *err)
{
    const char *names[SETTINGS_MOST], *nearest;
    size_t count = 0;

    for (; setting_table[count].key; count++) {
        assert(count < SETTINGS_MOST);
        names[count] = setting_table[count].key;
    }
    nearest = text_nearest_of(key, names, count);
    return fail(err, ERR_INVALID, "there is no setting %s%s%s%s; `sagebrush up --help` lists them", key,
                nearest ? " (did you mean " : "", nearest ? nearest : "", nearest ? "?)" : "");
}

int settings_set(struct arena *a, struct settings *s, const char *key, const char *value, struct err *err)
{
    const struct setting *row = setting_table;
    bool good = true;

    while (row->key && strcmp(row->key, key) != 0)
        row++;
    if (!row->key)
        return refuse_key(key, err);
    if (strcmp(key, "bind") == 0) {
        good = is_address(value);
        s->address = good ? arena_strdup(a, value) : s->address;
    } else if (strcmp(key, "port") == 0) {
        int64_t port = 0;

        good = str_to_int64(str_of(value), &port) && port >= 1 && port <= 65535;
        s->port = good ? port : s->port;
    } else if (strcmp(key, "region") == 0) {
        good = region_named(value);
        s->region = good ? arena_strdup(a, value) : s->region;
    } else if (strcmp(key, "account") == 0) {
        good = strlen(value) == 12 && strspn(value, "0123456789") == 12;
        s->account = good ? arena_strdup(a, value) : s->account;
    } else if (strcmp(key, "runtime") == 0) {
        good = one_of(value, (const char *const[]) { "container", "process", "slurm", "sim", NULL });
        s->runtime = good ? arena_strdup(a, value) : s->runtime;
    } else if (strcmp(key, "names") == 0) {
        good = names_fit(value);
        s->names = good ? arena_strdup(a, value) : s->names;
    } else if (strcmp(key, "images") == 0) {
        good = !*value || *value == '/';
        s->images = good ? arena_strdup(a, value) : s->images;
    } else if (strcmp(key, "fleet") == 0) {
        good = !*value || *value == '/';
        s->fleet = good ? arena_strdup(a, value) : s->fleet;
    } else if (strcmp(key, "disk-reserve") == 0) {
        good = size_of(value, &s->disk_reserve_bytes) == 0;
    } else if (strcmp(key, "hang-after") == 0) {
        int64_t ms = 0;

        good = duration_parse(str_of(value), &ms);
        s->hang_after_s = good ? ms / 1000 : s->hang_after_s;
    } else if (strcmp(key, "silent-after") == 0) {
        int64_t ms = 0;

        good = duration_parse(str_of(value), &ms);
        s->silent_after_s = good ? ms / 1000 : s->silent_after_s;
    } else if (strcmp(key, "nccl-library") == 0) {
        good = !*value || *value == '/';
        s->nccl_library = good ? arena_strdup(a, value) : s->nccl_library;
    } else if (strcmp(key, "file-systems") == 0) {
        good = file_systems_fit(value);
        s->file_systems = good ? arena_strdup(a, value) : s->file_systems;
    } else if (strcmp(key, "vpc") == 0) {
        good = vpc_fits(value);
        s->vpc = good ? arena_strdup(a, value) : s->vpc;
    } else if (text_starts(key, "slurm-")) {
        good = slurm_set(a, s, key, value);
    } else if (strcmp(key, "checkpoint-rate") == 0) {
        good = size_of(value, &s->checkpoint_bytes_per_s) == 0;
    } else {
        assert(strcmp(key, "log-level") == 0);
        good = one_of(value, (const char *const[]) { "debug", "info", "warning", "error", NULL });
        s->log_level = good ? arena_strdup(a, value) : s->log_level;
    }
    return good ? 0 : fail(err, ERR_INVALID, "%s = %s: the value has to be %s", key, value, row->pattern);
}

void settings_defaults(struct settings *s)
{
    *s = (struct settings) { .account = "111122223333",
                             .region = "us-east-1",
                             .address = "127.0.0.1",
                             .port = 8443,
                             .runtime = "container",
                             .slurm = { .partition = "", .account = "", .qos = "", .spot_partition = "",
                                        .spot_qos = "", .gpu_types = "", .options = "", .server = "",
                                        .scratch = SLURM_SCRATCH, .notice_s = SLURM_NOTICE_S },
                             .names = "",
                             .images = "",
                             .fleet = "",
                             .file_systems = "",
                             .vpc = "",
                             .nccl_library = "",
                             .disk_reserve_bytes = INT64_C(1) << 30,
                             .checkpoint_bytes_per_s = INT64_C(256) << 20,
                             .log_level = "info" };
}

int settings_read_file(struct arena *a, const char *path, struct settings *into, struct err *err)
{
    struct str rest;
    int number = 0;

    if (file_read(a, path, FILE_MAX_BYTES, &rest, err) < 0)
        return fail(err, err->kind, "the configuration file cannot be read: %s", err->text);
    while (rest.size) {
        struct str line, key, value;
        struct err why = { 0 };

        if (!str_cut(rest, '\n', &line, &rest)) {
            line = rest;
            rest.size = 0;
        }
        number++;
        line = str_trim(line);
        if (!line.size || line.data[0] == '#')
            continue;
        if (!str_cut(line, '=', &key, &value))
            return fail(err, ERR_INVALID, "%s, line %d: \"" STR_FMT "\" is not `key = value`", path, number,
                        STR_ARG(line));
        if (settings_set(a, into, str_dup(a, str_trim(key)), str_dup(a, str_trim(value)), &why) < 0)
            return fail(err, ERR_INVALID, "%s, line %d: %s", path, number, why.text);
    }
    return 0;
}

int settings_read(struct arena *a, const char *data_folder, struct settings *ret, struct err *err)
{
    const char *path = arena_printf(a, "%s/config", data_folder);
    struct settings s;
    struct doc *d;
    struct str text;

    if (!path_exists(path))
        return fail(err, ERR_NOT_FOUND,
                    "%s is no data directory of Sagebrush yet: `sagebrush up` makes one; --data DIR or SAGEBRUSH_DATA "
                    "names another",
                    data_folder);
    if (file_read(a, path, FILE_MAX_BYTES, &text, err) < 0 || json_parse(a, text, &d, err) < 0)
        return -1;
    if (doc_int(d, "version", 0) != 1)
        return fail(err, ERR_INVALID, "%s was written by a newer Sagebrush (version %" PRId64 "); this one is %s", path,
                    doc_int(d, "version", 0), SAGEBRUSH_VERSION);
    settings_defaults(&s);
    *ret = (struct settings) {
        .account = doc_text_or(d, "account", s.account),
        .region = doc_text_or(d, "region", s.region),
        .address = doc_text_or(d, "address", s.address),
        .port = doc_int(d, "port", s.port),
        .runtime = doc_text_or(d, "runtime", s.runtime),
        .names = doc_text_or(d, "names", s.names),
        .images = doc_text_or(d, "images", s.images),
        .fleet = doc_text_or(d, "fleet", s.fleet),
        .file_systems = doc_text_or(d, "file_systems", s.file_systems),
        .vpc = doc_text_or(d, "vpc", s.vpc),
        .hang_after_s = doc_int(d, "hang_after_s", s.hang_after_s),
        .silent_after_s = doc_int(d, "silent_after_s", s.silent_after_s),
        .disk_reserve_bytes = doc_int(d, "disk_reserve_bytes", s.disk_reserve_bytes),
        .checkpoint_bytes_per_s = doc_int(d, "checkpoint_bytes_per_s", s.checkpoint_bytes_per_s),
        .nccl_library = doc_text_or(d, "nccl_library", s.nccl_library),
        .log_level = doc_text_or(d, "log_level", s.log_level),
    };
    for (int i = 0; i < SLURM_TEXTS; i++)
        *slurm_text(ret, i) = doc_text_or(doc_get(d, "slurm"), slurm_texts[i].member, *slurm_text(&s, i));
    ret->slurm.notice_s = doc_int(d, "slurm.notice_s", s.slurm.notice_s);
    return 0;
}

int settings_write(const char *data_folder, const struct settings *s, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_buf_ struct buf text = { 0 };
    struct doc *d = doc_map(a), *slurm = doc_map(a);
    struct settings copy = *s;

    doc_set_integer(a, d, "version", 1);
    doc_set_string(a, d, "account", s->account);
    doc_set_string(a, d, "region", s->region);
    doc_set_string(a, d, "address", s->address);
    doc_set_integer(a, d, "port", s->port);
    doc_set_string(a, d, "runtime", s->runtime);
    doc_set_string(a, d, "names", s->names);
    doc_set_string(a, d, "images", s->images);
    doc_set_string(a, d, "fleet", s->fleet);
    doc_set_string(a, d, "file_systems", s->file_systems);
    doc_set_string(a, d, "vpc", s->vpc);
    doc_set_integer(a, d, "hang_after_s", s->hang_after_s);
    doc_set_integer(a, d, "silent_after_s", s->silent_after_s);
    doc_set_integer(a, d, "disk_reserve_bytes", s->disk_reserve_bytes);
    doc_set_integer(a, d, "checkpoint_bytes_per_s", s->checkpoint_bytes_per_s);
    doc_set_string(a, d, "nccl_library", s->nccl_library);
    doc_set_string(a, d, "log_level", s->log_level);
    doc_set(a, d, "slurm", slurm);
    for (int i = 0; i < SLURM_TEXTS; i++)
        doc_set_string(a, slurm, slurm_texts[i].member, *slurm_text(&copy, i));
    doc_set_integer(a, slurm, "notice_s", s->slurm.notice_s);
    json_print_pretty(&text, d);
    buf_append_char(&text, '\n');
    return file_ensure(arena_printf(a, "%s/config", data_folder), text.data, text.size, 0644, err);
}

int settings_data_folder(struct arena *a, const char *named, const char **ret, struct err *err)
{
    char here[PATH_MAX], real[PATH_MAX];
    const char *path = named;

    if (!path || !*path) {
        const char *home = getenv("HOME");

        if (geteuid() == 0)
            path = "/var/lib/sagebrush";
        else if (home && *home == '/')
            path = arena_printf(a, "%s/.local/share/sagebrush", home);
        else
            return fail(err, ERR_INVALID, "HOME is not set: name a data directory with --data DIR");
    }
    if (*path != '/') {
        if (!getcwd(here, sizeof here))
            return fail_errno(err, errno, "cannot tell the current directory");
        path = arena_printf(a, "%s/%s", here, path);
    }
    /* One directory, one name: the run folder is derived from it. Not there yet is fine. */
    *ret = realpath(path, real) ? arena_strdup(a, real) : path;
    return 0;
}

int settings_run_folder(struct arena *a, const char *data_folder, const char **ret, struct err *err)
{
    const char *base = "/run/sagebrush", *own = getenv("XDG_RUNTIME_DIR");

    if (geteuid() != 0)
        base = own && *own == '/' ? arena_printf(a, "%s/sagebrush", own)
                                  : arena_printf(a, "/tmp/sagebrush-%u", (unsigned)geteuid());
    *ret = arena_printf(a, "%s/%08" PRIx64, base, crc_update(CRC_32, 0, data_folder, strlen(data_folder)));
    return strlen(*ret) < 80 ? 0
                             : fail(err, ERR_INVALID,
                                    "%s is too long for the path of a socket: set a shorter "
                                    "XDG_RUNTIME_DIR",
                                    *ret);
}
