/* status.c - `sagebrush status`: what runs, where, and whether it answers. */
#include <stdio.h>

#include "base/fd.h"
#include "base/str.h"
#include "cmd/client.h"
#include "cmd/client_files.h"
#include "cmd/command.h"
#include "cmd/folder.h"
#include "cmd/settings.h"
#include "doc/json.h"

enum { NOT_RUNNING = 3 }; /* as init scripts have it */

static bool as_json;

static const struct command_option options[] = {
    { "json", NULL, "Prints JSON.", .flag = &as_json },
    {},
};

static void set_pid(struct arena *a, struct doc *d, const char *key, const char *path)
{
    struct process p;

    process_find(path, &p);
    if (p.fd >= 0)
        doc_set_integer(a, d, key, p.pid);
    process_close(&p);
}

static void print_process(const struct doc *d, const char *title, const char *key)
{
    if (doc_has(d, key))
        printf("%-14s process %d\n", title, (int)doc_int(d, key, 0));
    else
        printf("%-14s not running\n", title);
}

static int run(struct arena *a, char **words, int count, struct err *err)
{
    const char *data, *run_folder;
    struct doc *d = doc_map(a);
    struct answer answer = { 0 };
    struct err why = { 0 };
    struct settings s;
    bool healthy;

    if (settings_data_folder(a, command_data, &data, err) < 0 || settings_read(a, data, &s, err) < 0 ||
        settings_run_folder(a, data, &run_folder, err) < 0)
        return -1;
    doc_set_string(a, d, "data", data);
    doc_set_string(a, d, "url", arena_printf(a, "https://%s", client_host(a, &s)));
    doc_set_string(a, d, "region", s.region);
    doc_set_string(a, d, "account", s.account);
    doc_set_string(a, d, "runtime", s.runtime);
    set_pid(a, d, "supervisor", arena_printf(a, "%s/up.pid", run_folder));
    set_pid(a, d, "control_plane", arena_printf(a, "%s/control.pid", run_folder));
    set_pid(a, d, "data_plane", arena_printf(a, "%s/serve.pid", run_folder));
    healthy = client_call(a, arena_printf(a, "%s/admin.sock", run_folder), "GET", "/_sagebrush/health", NULL, 5000,
                          &answer, &why) == 0 &&
              answer.status == 200;
    if (healthy)
        healthy = client_public(a, s.address, (int)s.port, &why) == 0;
    doc_set_boolean(a, d, "healthy", healthy);
    if (!healthy)
        doc_set_string(a, d, "why", *why.text ? why.text : arena_printf(a, "health answers %d", answer.status));
    if (as_json) {
        _cleanup_buf_ struct buf text = { 0 };

        json_print_pretty(&text, d);
        printf("%s\n", text.data);
        return healthy ? 0 : NOT_RUNNING;
    }
    printf("%-14s %s, account %s, %s, runtime %s\n", "data", data, s.account, s.region, s.runtime);
    print_process(d, "supervisor", "supervisor");
    print_process(d, "control plane", "control_plane");
    print_process(d, "data plane", "data_plane");
    printf("%-14s %s%s%s\n", "public port", doc_text(d, "url"),
           healthy ? ", answers" : ", does not answer: ", doc_text(d, "why"));
    return healthy ? 0 : NOT_RUNNING;
}

const struct command status_command = {
    .name = "status",
    .usage = "[--json]",
    .summary = "what runs, where, and whether it answers",
    .about =
        "Shows the processes of the server and asks for its health. The exit status is 0 when it answers, 3 when not.",
    .options = options,
    .run = run,
};
