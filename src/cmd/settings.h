/* settings.h - what a data directory is set to, and where its parts are.
 *
 * Settings come from the command line, else the configuration file, else what the directory was set to before, else
 * the default. `sagebrush up` saves the result as DIR/config (JSON), which is all that the other programs read. */
#ifndef CMD_SETTINGS_H
#define CMD_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "run/runtime.h"

struct settings {
    const char *account; /* 12 digits */
    const char *region;
    const char *address; /* numeric */
    int64_t port;
    const char *runtime; /* "container", "process", "slurm", "sim" */
    struct slurm_settings slurm;
    const char *names;   /* further names of the certificate, parted by spaces or commas */
    const char *images;  /* the folder of image archives; "": images/archives in the data directory */
    const char *fleet;   /* the path of the fleet file; "": the machine takes whatever comes */
    const char *file_systems; /* "fs-0123abcd:/srv/data, ..." */
    const char *vpc; /* "subnet-0a1b, sg-0c2d": what this server's network is; "": none of it */
    int64_t hang_after_s, silent_after_s; /* 0: never */
    int64_t disk_reserve_bytes, checkpoint_bytes_per_s;
    const char *nccl_library; /* its path; "": the loader's */
    const char *log_level;
};

/* One key of the configuration file, its default and what it means: --help and the manual print this table. */
struct setting {
    const char *key, *fallback, *help;
    const char *pattern; /* what a value has to be, in words */
    const char *member;  /* of DIR/config; "slurm.qos" is in a map of its own */
    size_t at;           /* in struct settings */
    bool (*fits)(const char *value);               /* of a text */
    bool (*read)(const char *value, int64_t *ret); /* of a number; false: it is none, and *ret is untouched */
};
extern const struct setting setting_table[]; /* ends with an empty row */

/* The data directory named by the user or the default one, as an absolute path. */
int settings_data_folder(struct arena *, const char *named, const char **ret, struct err *err);

/* DIR/config as it was saved. ERR_NOT_FOUND: this is no data directory yet. */
int settings_read(struct arena *, const char *data_folder, struct settings *ret, struct err *err);
int settings_write(const char *data_folder, const struct settings *, struct err *err);

/* Takes over one value by key, as text; ERR_INVALID says what it should be. */
int settings_set(struct arena *, struct settings *, const char *key, const char *value, struct err *err);

/* "key = value" lines, '#' comments. ERR_INVALID names the line. */
int settings_read_file(struct arena *, const char *path, struct settings *into, struct err *err);

void settings_defaults(struct settings *);

/* /run/sagebrush/<8 hex>: short, for socket paths, and gone after a reboot. */
int settings_run_folder(struct arena *, const char *data_folder, const char **ret, struct err *err);

/* The same, to ask a server that is there. ERR_DENIED names the user who started it, when that was another one. */
int settings_server_folder(struct arena *, const char *data_folder, const char **ret, struct err *err);

#endif
