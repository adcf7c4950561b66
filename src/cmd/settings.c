/* settings.c - what a data directory is set to, and where its parts are. */
#include "cmd/settings.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc.h"
#include "base/fd.h"
#include "base/nearest.h"
#include "base/str.h"
#include "doc/json.h"
#include "net/address.h"

enum { FILE_MAX_BYTES = 1 << 20, SETTINGS_MOST = 64 };

/* --- What a value has to be --- */

static bool is_address(const char *value)
{
    unsigned char address[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, value, address) == 1 || inet_pton(AF_INET6, value, address) == 1;
}

static bool is_region(const char *value)
{
    size_t size = strlen(value);

    return size >= 3 && size <= 63 && strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-") == size &&
           value[0] != '-' && value[size - 1] != '-';
}

static bool is_account(const char *value)
{
    return strlen(value) == 12 && strspn(value, "0123456789") == 12;
}

static bool one_of(const char *value, const char *const *allowed)
{
    for (; *allowed; allowed++)
        if (strcmp(value, *allowed) == 0)
            return true;
    return false;
}

static bool is_runtime(const char *value)
{
    return one_of(value, (const char *const[]) { "container", "process", "slurm", "sim", NULL });
}

static bool is_log_level(const char *value)
{
    return one_of(value, (const char *const[]) { "debug", "info", "warning", "error", NULL });
}

static bool is_path(const char *value)
{
    return *value == '/';
}

static bool is_path_or_none(const char *value)
{
    return !*value || is_path(value);
}

/* Only of our own bytes: names go into a certificate and into JSON. */
static bool are_names(const char *value)
{
    for (; *value; value++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:, ", *value))
            return false;
    return true;
}

static bool are_file_systems(const char *value)
{
    for (value += strspn(value, ", "); *value; value += strspn(value, ", ")) {
        size_t digits = text_starts(value, "fs-") ? strspn(value + 3, "0123456789abcdef") : 0;

        if (digits < 8 || digits > 18 || value[3 + digits] != ':' || value[4 + digits] != '/')
            return false;
        value += strcspn(value, ", ");
    }
    return true;
}

static bool are_vpc_ids(const char *value)
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

static bool is_reached_from_elsewhere(const char *value)
{
    struct sockaddr_storage address;

    return !*value || (address_read(value, 0, &address) && address_is_of_a_machine(&address));
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
static bool is_printed(const char *value, const char *without)
{
    for (; *value; value++)
        if ((unsigned char)*value < ' ' || (unsigned char)*value > '~' || strchr(without, *value))
            return false;
    return true;
}

static bool is_slurm_word(const char *value)
{
    return is_printed(value, " '\"\\|");
}

static bool are_slurm_options(const char *value)
{
    return is_printed(value, "") && (!*value || *value == '-');
}

static bool read_within(const char *value, int64_t least, int64_t most, int64_t *ret)
{
    int64_t n;

    if (!str_to_int64(str_of(value), &n) || n < least || n > most)
        return false;
    *ret = n;
    return true;
}

static bool read_port(const char *value, int64_t *ret)
{
    return read_within(value, 1, 65535, ret);
}

static bool read_notice(const char *value, int64_t *ret_s)
{
    return read_within(value, 1, 86400, ret_s);
}

static bool read_duration(const char *value, int64_t *ret_s)
{
    int64_t ms;

    if (!duration_parse(str_of(value), &ms))
        return false;
    *ret_s = ms / 1000;
    return true;
}

static bool read_size(const char *value, int64_t *ret)
{
    struct str s = str_trim(str_of(value));
    int64_t unit = 1, n;

    if (s.size && strchr("kKmMgG", s.data[s.size - 1])) {
        char c = s.data[--s.size];

        unit = c == 'k' || c == 'K' ? 1 << 10 : c == 'm' || c == 'M' ? 1 << 20 : 1 << 30;
    }
    if (!str_to_int64(s, &n) || n < 0 || n > INT64_MAX / unit)
        return false;
    *ret = n * unit;
    return true;
}

/* --- The settings --- */

#define TEXT(member, good)   #member, offsetof(struct settings, member), .fits = good
#define NUMBER(member, good) #member, offsetof(struct settings, member), .read = good

const struct setting setting_table[] = {
    { "bind", "127.0.0.1",
      "The address to listen on. Plain HTTP is answered to this machine only, TLS to everybody who can reach the "
      "address.",
      "a numeric IPv4 or IPv6 address",
      TEXT(address, is_address) },
    { "port", "8443", "The public port, for TLS and plain HTTP alike.", "a number from 1 to 65535",
      NUMBER(port, read_port) },
    { "region", "us-east-1", "The region of what names none, and the one that `sagebrush env` prints.",
      "a region's name, such as us-east-1",
      TEXT(region, is_region) },
    { "account", "111122223333", "The account of the first key. It cannot be changed once resources carry it.",
      "12 digits",
      TEXT(account, is_account) },
    { "runtime", "container",
      "How jobs and endpoints run: container (runc, needs root), process (no isolation, only the programs that come "
      "with Sagebrush), slurm (jobs as containers on a Slurm cluster, endpoints on this machine), or sim (nothing is "
      "run at all: jobs end at once, for unit tests of your own code).",
      "container, process, slurm or sim",
      TEXT(runtime, is_runtime) },
    { "slurm-partition", "", "With slurm: the partition of the jobs. Default: the cluster's own.",
      "names as Slurm's, parted by commas",
      TEXT(slurm.partition, is_slurm_word) },
    { "slurm-account", "", "With slurm: the account that sbatch is told.", "a name as Slurm's",
      TEXT(slurm.account, is_slurm_word) },
    { "slurm-qos", "", "With slurm: the quality of service that sbatch is told.", "a name as Slurm's",
      TEXT(slurm.qos, is_slurm_word) },
    { "slurm-spot-partition", "", "The partition of spot jobs, one that is preempted. Default: slurm-partition.",
      "names as Slurm's, parted by commas",
      TEXT(slurm.spot_partition, is_slurm_word) },
    { "slurm-spot-qos", "", "The quality of service of spot jobs. Default: slurm-qos.", "a name as Slurm's",
      TEXT(slurm.spot_qos, is_slurm_word) },
    { "slurm-gpu-types", "",
      "The types of GPUs in gres.conf by instance type or family of types: ml.p4d:a100 ml.g5.xlarge:a10g. Default: any "
      "GPU will do.",
      "pairs like ml.p4d:a100, parted by spaces",
      TEXT(slurm.gpu_types, are_gpu_types) },
    { "slurm-options", "", "Further options for sbatch, parted by spaces; they go before our own.",
      "options that begin with -",
      TEXT(slurm.options, are_slurm_options) },
    { "slurm-notice", "30",
      "How many seconds Slurm leaves a job between SIGTERM and SIGKILL: its KillWait, and the GraceTime of the "
      "partition of spot jobs.",
      "a number of seconds from 1 to 86400",
      NUMBER(slurm.notice_s, read_notice) },
    { "slurm-server", "",
      "The address of this machine by which nodes that are other machines reach the public port. Default: none; jobs "
      "that Slurm puts on other machines fail.",
      "a numeric IPv4 or IPv6 address by which other machines reach this one",
      TEXT(slurm.server, is_reached_from_elsewhere) },
    { "slurm-scratch", "/var/tmp/sagebrush",
      "The folder on such a node's own disk for what containers write. It is cleared when a job is over.",
      "the absolute path of a folder",
      TEXT(slurm.scratch, is_path) },
    { "names", "", "Further host names or addresses for the TLS certificate, parted by commas.", "names",
      TEXT(names, are_names) },
    { "images", "",
      "The folder of image archives: oci-archive:FILE.tar as the image of a job or a model is read from here and from "
      "nowhere else, for whoever may create jobs may have it opened by root. Default: images/archives in the data "
      "directory.",
      "the absolute path of a folder",
      TEXT(images, is_path_or_none) },
    { "fleet", "",
      "The fleet file (docs/manual/fleet.md): this machine as nodes, with types, prices, quotas, priorities and fair "
      "share. It is read at each start. Default: none; any instance type is accepted, and what does not fit waits.",
      "the absolute path of a file",
      TEXT(fleet, is_path_or_none) },
    { "disk-reserve", "1G", "Free space that is kept for records: uploads are refused before the disk is full.",
      "bytes, or a number with K, M or G",
      NUMBER(disk_reserve_bytes, read_size) },
    { "checkpoint-rate", "256M",
      "How many bytes a second of checkpoints a running job's agent uploads, so that the job keeps its disk and its "
      "cores; at the end of a job there is no limit. 0: none at all.",
      "bytes, or a number with K, M or G",
      NUMBER(checkpoint_bytes_per_s, read_size) },
    { "hang-after", "off",
      "A training job all of whose instances do nothing for so long - no line of their logs, no core and no GPU used - "
      "is ended, and starts again where its RetryStrategy says so. Its variable SAGEBRUSH_HANG_AFTER is stronger.",
      "a duration such as 30m or 2h, or off",
      NUMBER(hang_after_s, read_duration) },
    { "silent-after", "off",
      "A training job none of whose instances writes a line to its log for so long is ended, though it may use cores "
      "and GPUs: so hang ranks that wait for another one. Its variable SAGEBRUSH_SILENT_AFTER is stronger.",
      "a duration such as 30m or 2h, or off",
      NUMBER(silent_after_s, read_duration) },
    { "nccl-library", "",
      "The libnccl.so.2 by which the instances of a job with EnableInfraCheck are checked together, where they have "
      "GPUs. Default: what the loader finds; without one they are checked over TCP alone.",
      "the absolute path of a file",
      TEXT(nccl_library, is_path_or_none) },
    { "file-systems", "",
      "The folders that stand for file systems, as ID:FOLDER, parted by commas: fs-0123abcd:/srv/data. A training job "
      "may read and write below the folder of the FileSystemId that a channel names, as root, and nowhere else.",
      "ID:FOLDER pairs with absolute paths, IDs as fs-0123abcd",
      TEXT(file_systems, are_file_systems) },
    { "vpc", "",
      "The subnets and the security groups that the network of this server already is, by their ids, parted by commas. "
      "A VpcConfig that names no others is taken, and changes nothing: a container reaches what its machine lets it "
      "reach. Default: none; every VpcConfig is refused.",
      "ids such as subnet-0a1b2c3d and sg-0a1b2c3d",
      TEXT(vpc, are_vpc_ids) },
    { "log-level", "info", "What is logged: debug, info, warning or error.", "debug, info, warning or error",
      TEXT(log_level, is_log_level) },
    {},
};

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

/* False: it cannot be that, and nothing has changed. A text is kept as it is given. */
static bool take(const struct setting *row, const char *value, struct settings *s)
{
    void *at = (char *)s + row->at;

    if (row->read)
        return row->read(value, at);
    if (!row->fits(value))
        return false;
    *(const char **)at = value;
    return true;
}

int settings_set(struct arena *a, struct settings *s, const char *key, const char *value, struct err *err)
{
    const struct setting *row = setting_table;

    while (row->key && strcmp(row->key, key) != 0)
        row++;
    if (!row->key)
        return refuse_key(key, err);
    if (!take(row, arena_strdup(a, value), s))
        return fail(err, ERR_INVALID, "%s = %s: the value has to be %s", key, value, row->pattern);
    return 0;
}

void settings_defaults(struct settings *s)
{
    *s = (struct settings){ 0 };
    for (const struct setting *row = setting_table; row->key; row++) {
        bool good = take(row, row->fallback, s);

        assert(good);
    }
}

/* --- Files --- */

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
    struct doc *d;
    struct str text;

    if (!path_exists(path))
        return fail(err, ERR_NOT_FOUND,
                    "%s is no data directory of Sagebrush yet: `sagebrush up` makes one; --data DIR or SAGEBRUSH_DATA "
                    "names another%s",
                    data_folder,
                    geteuid() == 0 ? "" : ". What `sudo sagebrush up` started is asked with sudo, too");
    if (file_read(a, path, FILE_MAX_BYTES, &text, err) < 0 || json_parse(a, text, &d, err) < 0)
        return -1;
    if (doc_int(d, "version", 0) != 1)
        return fail(err, ERR_INVALID, "%s was written by a newer Sagebrush (version %" PRId64 "); this one is %s", path,
                    doc_int(d, "version", 0), SAGEBRUSH_VERSION);
    settings_defaults(ret);
    for (const struct setting *row = setting_table; row->key; row++) {
        void *at = (char *)ret + row->at;

        if (row->read)
            *(int64_t *)at = doc_int(d, row->member, *(int64_t *)at);
        else
            *(const char **)at = doc_text_or(d, row->member, *(const char **)at);
    }
    return 0;
}

/* "slurm.qos" is a member of a map of its own. */
static struct doc *map_of(struct arena *a, struct doc *d, const char **member)
{
    static const char slurm[] = "slurm.";

    if (!text_starts(*member, slurm))
        return d;
    *member += strlen(slurm);
    return doc_member(a, d, "slurm", DOC_MAP);
}

int settings_write(const char *data_folder, const struct settings *s, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_buf_ struct buf text = { 0 };
    struct doc *d = doc_map(a);

    doc_set_integer(a, d, "version", 1);
    for (const struct setting *row = setting_table; row->key; row++) {
        const void *at = (const char *)s + row->at;
        const char *member = row->member;
        struct doc *map = map_of(a, d, &member);

        if (row->read)
            doc_set_integer(a, map, member, *(const int64_t *)at);
        else
            doc_set_string(a, map, member, *(const char *const *)at);
    }
    json_print_pretty(&text, d);
    buf_append_char(&text, '\n');
    return file_ensure(arena_printf(a, "%s/config", data_folder), text.data, text.size, 0644, err);
}

/* --- Where things are --- */

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

/* Whoever starts a server has its sockets in a folder of his own, and DIR/run leads there. */
int settings_server_folder(struct arena *a, const char *data_folder, const char **ret, struct err *err)
{
    const char *link = arena_printf(a, "%s/run", data_folder), *folder;
    const struct passwd *user;
    char leads_to[PATH_MAX] = "";
    struct stat st;

    if (settings_run_folder(a, data_folder, &folder, err) < 0)
        return -1;
    if (lstat(link, &st) == 0 && st.st_uid != geteuid() && readlink(link, leads_to, sizeof leads_to - 1) > 0 &&
        strcmp(leads_to, folder) != 0) {
        user = getpwuid(st.st_uid);
        return fail(err, ERR_DENIED, "the server on %s was started by %s: run this as that user, with `sudo%s%s`",
                    data_folder, user ? user->pw_name : arena_printf(a, "user %u", (unsigned)st.st_uid),
                    st.st_uid == 0 ? "" : " -u ", st.st_uid == 0 || !user ? "" : user->pw_name);
    }
    *ret = folder;
    return 0;
}
