/* keys.c - `sagebrush keys`: access keys of the server, through its admin socket. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cmd/client.h"
#include "cmd/command.h"
#include "cmd/settings.h"

#define KEYS "/_sagebrush/admin/v1/keys"

static const char *user;
static bool as_json;

static const struct command_option options[] = {
    { "user", "NAME",
      "The IAM user that a new key belongs to, made when it is not there; what it may do is IAM's business. "
      "Default: the new key acts as the first one does.",
      .text = &user },
    { "json", NULL, "Prints JSON.", .flag = &as_json },
    {},
};

static int list(struct arena *a, const char *data, struct err *err)
{
    const struct doc *answer, *keys;

    if (client_admin(a, data, "GET", KEYS, NULL, &answer, err) < 0)
        return -1;
    if (as_json) {
        command_print_json(answer);
        return 0;
    }
    keys = doc_get(answer, "keys");
    for (size_t i = 0; i < doc_count(answer, "keys"); i++) {
        const struct doc *key = keys->items[i];

        printf("%-24s %-9s %s  %s\n", doc_text(key, "access_key_id"),
               doc_bool(key, "active", true) ? "active" : "inactive",
               time_iso8601(a, doc_int(key, "created_ms", 0), false), doc_text(key, "arn"));
    }
    return 0;
}

static int add(struct arena *a, const char *data, const struct doc *body, struct err *err)
{
    const struct doc *answer;

    if (client_admin(a, data, "POST", KEYS, body, &answer, err) < 0)
        return -1;
    if (as_json)
        command_print_json(answer);
    else
        printf("AWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\n# %s\n", doc_text(answer, "access_key_id"),
               doc_text(answer, "secret_access_key"), doc_text(answer, "arn"));
    return 0;
}

/* Not a word of the command line, where everybody on the machine could read it. */
static int read_secret(struct arena *a, const char **ret, struct err *err)
{
    char line[256];
    struct str secret;

    if (!fgets(line, sizeof line, stdin))
        return fail(err, ERR_INVALID, "the secret access key is read from standard input, and there was none");
    secret = str_trim(str_of(line));
    if (secret.size < 16)
        return fail(err, ERR_INVALID, "a secret access key has at least 16 characters");
    *ret = str_dup(a, secret);
    return 0;
}

static int run(struct arena *a, char **words, int count, struct err *err)
{
    const char *data, *verb = words[0], *id = words[1], *secret = NULL;
    const struct doc *answer;
    struct doc *body = doc_map(a);

    if (settings_data_folder(a, command_data, &data, err) < 0)
        return -1;
    doc_set_string(a, body, "user_name", user);
    if (strcmp(verb, "list") == 0 && count == 1)
        return list(a, data, err);
    if (strcmp(verb, "create") == 0 && count == 1)
        return add(a, data, body, err);
    if (strcmp(verb, "import") == 0 && count == 2) {
        if (read_secret(a, &secret, err) < 0)
            return -1;
        doc_set_string(a, body, "access_key_id", id);
        doc_set_string(a, body, "secret_access_key", secret);
        return add(a, data, body, err);
    }
    if (strcmp(verb, "revoke") == 0 && count == 2) {
        _cleanup_buf_ struct buf target = { 0 };

        buf_append_str(&target, KEYS "/");
        uri_encode(&target, str_of(id), false);
        if (client_admin(a, data, "DELETE", target.data, NULL, &answer, err) < 0)
            return -1;
        printf("%s is revoked\n", id);
        return 0;
    }
    return fail(err, ERR_INVALID, "usage: sagebrush keys create | import ID | list | revoke ID");
}

const struct command keys_command = {
    .name = "keys",
    .usage = "create | import ID | list | revoke ID",
    .summary = "access keys: create, import, list, revoke",
    .about =
        "Access keys sign what clients send. The first one is made when the server first starts, and `sagebrush env` "
        "prints it.\n"
        "\n"
        "  create     makes a key and prints it; its secret is not shown again\n"
        "  import ID  takes over a given pair; the secret is read from standard input\n"
        "  list       the keys, without their secrets\n"
        "  revoke ID  the key is refused from now on\n"
        "\n"
        "Users and what they may do are made with IAM, as on AWS: aws iam create-user, attach-user-policy, "
        "create-access-key.",
    .options = options,
    .least = 1,
    .most = 2,
    .run = run,
};
