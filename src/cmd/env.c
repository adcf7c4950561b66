/* env.c - `sagebrush env`: what a shell needs so that unchanged clients, old and new, reach this server. */
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "cmd/client_files.h"
#include "cmd/command.h"
#include "cmd/settings.h"
#include "doc/json.h"

static const char *format = "sh";
static const char *region;

static const struct command_option options[] = {
    { "format", "FORMAT", "sh (the default; for bash, zsh and dash), fish, json, or env (NAME=value, for env files).",
      .text = &format },
    { "region", "REGION", "Another region than the server's own.", .text = &region },
    {},
};

/* What would win over ours in the user's shell. */
static const char *const in_the_way[] = { "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", NULL };

static void print_quoted(const char *value)
{
    putchar('\'');
    for (; *value; value++) {
        if (*value == '\'')
            printf("'\\''");
        else
            putchar(*value);
    }
    putchar('\'');
}

/* In front of what the shell has there already, once. */
static void print_path(const char *name, const char *folder)
{
    if (strcmp(format, "fish") == 0) {
        printf("contains '%s' $%s; or set -gx --path %s '%s' $%s\n", folder, name, name, folder, name);
        return;
    }
    printf("case \":${%s-}:\" in *':%s:'*) ;; *) export %s='%s'\"${%s:+:$%s}\" ;; esac\n", name, folder, name, folder,
           name, name);
}

static void print(const struct doc *variables)
{
    bool fish = strcmp(format, "fish") == 0;

    if (strcmp(format, "json") == 0) {
        command_print_json(variables);
        return;
    }
    for (uint32_t i = 0; i < variables->count; i++) {
        const struct doc_item *item = &variables->members[i];

        if (strcmp(format, "env") == 0) {
            printf("%s=%s\n", item->key, doc_value_text(item->value));
            continue;
        }
        if (strcmp(item->key, "PYTHONPATH") == 0) {
            print_path(item->key, doc_value_text(item->value));
            continue;
        }
        printf(fish ? "set -gx %s " : "export %s=", item->key);
        print_quoted(doc_value_text(item->value));
        putchar('\n');
    }
    if (strcmp(format, "env") == 0)
        return;
    for (const char *const *name = in_the_way; *name; name++)
        printf(fish ? "set -e %s\n" : "unset %s\n", *name);
}

static int run(struct arena *a, char **words, int count, struct err *err)
{
    struct doc *variables = doc_map(a), *key;
    const char *data, *path, *url;
    struct settings s;
    struct str text;

    if (strcmp(format, "sh") != 0 && strcmp(format, "fish") != 0 && strcmp(format, "json") != 0 &&
        strcmp(format, "env") != 0)
        return fail(err, ERR_INVALID, "--format %s: it has to be sh, fish, json or env", format);
    if (settings_data_folder(a, command_data, &data, err) < 0 || settings_read(a, data, &s, err) < 0)
        return -1;
    path = arena_printf(a, "%s/secrets/root-key.json", data);
    if (file_read(a, path, 65536, &text, err) < 0)
        return fail(err, err->kind, "%s (run this as the user who runs the server)", err->text);
    if (json_parse(a, text, &key, err) < 0)
        return fail(err, err->kind, "%s is damaged: %s", path, err->text);
    /* Plain HTTP where nobody can listen in: no certificate to know, and half the processor time. */
    url = arena_printf(a, "%s://%s",
                       strchr(s.address, ':') || text_starts(s.address, "127.") || strcmp(s.address, "0.0.0.0") == 0
                           ? "http"
                           : "https",
                       client_host(a, &s));
    doc_set_string(a, variables, "AWS_ACCESS_KEY_ID", doc_text(key, "access_key_id"));
    doc_set_string(a, variables, "AWS_SECRET_ACCESS_KEY", doc_text(key, "secret_access_key"));
    doc_set_string(a, variables, "AWS_DEFAULT_REGION", region ? region : s.region);
    doc_set_string(a, variables, "AWS_REGION", region ? region : s.region);
    doc_set_string(a, variables, "AWS_ENDPOINT_URL", url);
    doc_set_string(a, variables, "AWS_CA_BUNDLE", arena_printf(a, "%s/client/ca-bundle.pem", data));
    /* For presigned URLs, which the AWS CLI writes with https. */
    doc_set_string(a, variables, "CURL_CA_BUNDLE", arena_printf(a, "%s/client/ca-bundle.pem", data));
    doc_set_string(a, variables, "NODE_EXTRA_CA_CERTS", arena_printf(a, "%s/client/ca-bundle.pem", data));
    doc_set_string(a, variables, "AWS_DATA_PATH", arena_printf(a, "%s/client/aws", data));
    doc_set_string(a, variables, "AWS_STS_REGIONAL_ENDPOINTS", "regional");
    doc_set_string(a, variables, "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT", "regional");
    doc_set_string(a, variables, "AWS_EC2_METADATA_DISABLED", "true");
    doc_set_string(a, variables, "SAGEMAKER_USER_CONFIG_OVERRIDE", arena_printf(a, "%s/client/sagemaker.yaml", data));
    doc_set_string(a, variables, "PYTHONPATH", arena_printf(a, "%s/client/python", data));
    /* For the commands that follow in this shell. */
    doc_set_string(a, variables, "SAGEBRUSH_DATA", data);
    print(variables);
    return 0;
}

const struct command env_command = {
    .name = "env",
    .usage = "[--format FORMAT]",
    .summary = "print what a shell needs to reach the server",
    .about =
        "Prints shell commands that point boto3, the AWS CLI, the SageMaker Python SDK and other AWS clients at this "
        "server, with the first access key. Nothing of the client has to be changed:\n"
        "\n"
        "    eval \"$(sudo sagebrush env)\"\n"
        "    aws s3 mb s3://my-bucket\n"
        "\n"
        "New clients follow AWS_ENDPOINT_URL. Clients from before 2023 ignore it and follow AWS_DATA_PATH, where "
        "an endpoints.json names this server for every service and region. The SageMaker SDK asks the same file "
        "where STS is (the folder in PYTHONPATH makes it look there), and then uses TLS: AWS_CA_BUNDLE holds the "
        "system's certificate authorities and the server's "
        "own. SAGEMAKER_USER_CONFIG_OVERRIDE keeps that SDK from sending usage data. SAGEBRUSH_DATA is where this "
        "shell's `sagebrush` looks without --data.\n"
        "\n"
        "The output holds a secret key that may do everything: other users get keys of their own by `sagebrush keys`.",
    .options = options,
    .run = run,
};
