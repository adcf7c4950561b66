/* client_files.c - the small files that unchanged clients need to find this server.
 *
 * endpoints.json is botocore's own format (version 3). One default host name for the whole partition is enough: what
 * names no endpoint of its own, in whatever region, gets it. Checked with boto3 1.26 and 1.44 and AWS CLI 2.9.19. */
#include "cmd/client_files.h"

#include <inttypes.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "doc/json.h"
#include "sitecustomize.inc"

enum { BUNDLE_MAX_BYTES = 16 << 20 };

static const char *const regions[] = {
    "af-south-1", "ap-east-1",      "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1",
    "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ca-central-1",
    "ca-west-1",  "eu-central-1",   "eu-central-2",   "eu-north-1",     "eu-south-1",     "eu-south-2",
    "eu-west-1",  "eu-west-2",      "eu-west-3",      "il-central-1",   "me-central-1",   "me-south-1",
    "sa-east-1",  "us-east-1",      "us-east-2",      "us-west-1",      "us-west-2",
};

static struct doc *words(struct arena *a, const char *first, const char *second)
{
    struct doc *list = doc_list(a);

    doc_append(a, list, doc_string(a, first));
    if (second)
        doc_append(a, list, doc_string(a, second));
    return list;
}

static struct doc *endpoints_document(struct arena *a, const struct settings *s)
{
    struct doc *document = doc_map(a), *partition = doc_map(a), *defaults = doc_map(a), *all = doc_map(a);
    struct doc *services = doc_map(a), *s3 = doc_map(a), *iam = doc_map(a), *global = doc_map(a), *scope = doc_map(a);
    struct doc *endpoints = doc_map(a), *partitions = doc_list(a), *ecr = doc_map(a), *ecr_defaults = doc_map(a);

    for (size_t i = 0; i < sizeof regions / sizeof *regions; i++) {
        struct doc *region = doc_map(a);

        doc_set_string(a, region, "description", regions[i]);
        doc_set(a, all, regions[i], region);
        doc_set(a, endpoints, regions[i], doc_map(a));
    }
    if (!doc_get(all, s->region)) {
        struct doc *region = doc_map(a);

        doc_set_string(a, region, "description", s->region);
        doc_set(a, all, s->region, region);
        doc_set(a, endpoints, s->region, doc_map(a));
    }
    doc_set_string(a, defaults, "hostname", client_host(a, s));
    doc_set(a, defaults, "protocols", words(a, "http", "https"));
    doc_set(a, defaults, "signatureVersions", words(a, "v4", NULL));
    doc_set(a, defaults, "variants", doc_list(a));

    for (const char *const *name = (const char *const[]) { "api.sagemaker", "runtime.sagemaker", "sts", "logs",
                                                           "monitoring", "events", "fis", NULL };
         *name; name++) {
        struct doc *service = doc_map(a);

        doc_set(a, service, "endpoints", endpoints);
        doc_set(a, services, *name, service);
    }
    /* No service of ours: the SageMaker SDK builds the names of images from it, which have to look as they always do.
     */
    doc_set_string(a, ecr_defaults, "hostname", "{service}.{region}.{dnsSuffix}");
    doc_set(a, ecr, "defaults", ecr_defaults);
    doc_set(a, ecr, "endpoints", endpoints);
    doc_set(a, services, "ecr", ecr);
    doc_set(a, s3, "defaults", doc_map(a));
    doc_set(a, (struct doc *)doc_get(s3, "defaults"), "protocols", words(a, "http", "https"));
    doc_set(a, (struct doc *)doc_get(s3, "defaults"), "signatureVersions", words(a, "s3v4", NULL));
    doc_set(a, s3, "endpoints", endpoints);
    doc_set(a, services, "s3", s3);
    doc_set_string(a, scope, "region", "us-east-1");
    doc_set(a, global, "credentialScope", scope);
    doc_set(a, iam, "endpoints", doc_map(a));
    doc_set(a, (struct doc *)doc_get(iam, "endpoints"), "aws-global", global);
    doc_set_boolean(a, iam, "isRegionalized", false);
    doc_set_string(a, iam, "partitionEndpoint", "aws-global");
    doc_set(a, services, "iam", iam);

    doc_set_string(a, partition, "partition", "aws");
    doc_set_string(a, partition, "partitionName", "Sagebrush");
    doc_set_string(a, partition, "dnsSuffix", "amazonaws.com");
    doc_set_string(a, partition, "regionRegex", "^[a-z0-9]+(-[a-z0-9]+)*$");
    doc_set(a, partition, "defaults", defaults);
    doc_set(a, partition, "regions", all);
    doc_set(a, partition, "services", services);
    doc_append(a, partitions, partition);
    doc_set_integer(a, document, "version", 3);
    doc_set(a, document, "partitions", partitions);
    return document;
}

const char *client_host(struct arena *a, const struct settings *s)
{
    const char *address = s->address;

    if (strcmp(address, "0.0.0.0") == 0)
        address = "127.0.0.1";
    if (strcmp(address, "::") == 0)
        address = "::1";
    return arena_printf(a, strchr(address, ':') ? "[%s]:%" PRId64 : "%s:%" PRId64, address, s->port);
}

static int write_bundle(struct arena *a, const char *folder, struct str own, struct err *err)
{
    const char *path = arena_printf(a, "%s/ca-bundle.pem", folder);
    _cleanup_buf_ struct buf bundle = { 0 };
    struct str roots;
    struct err ignored = { 0 };

    if (file_read(a, "/etc/ssl/certs/ca-certificates.crt", BUNDLE_MAX_BYTES, &roots, &ignored) == 0) {
        buf_append(&bundle, roots.data, roots.size);
        if (!str_ends(roots, "\n"))
            buf_append_char(&bundle, '\n');
    }
    buf_append(&bundle, own.data, own.size);
    return file_ensure(path, bundle.data, bundle.size, 0644, err);
}

int client_files_write(struct arena *a, const char *data_folder, const struct settings *s, struct err *err)
{
    static const char sdk[] = "SchemaVersion: '1.0'\n"
                              "SageMaker:\n"
                              "  PythonSDK:\n"
                              "    Modules:\n"
                              "      TelemetryOptOut: true\n";
    const char *folder = arena_printf(a, "%s/client", data_folder);
    const char *python = arena_printf(a, "%s/python/sitecustomize.py", folder);
    char *endpoints = json_text(a, endpoints_document(a, s));
    struct str authority;

    if (folder_make(arena_printf(a, "%s/aws", folder), 0755, err) < 0 ||
        folder_make(arena_printf(a, "%s/python", folder), 0755, err) < 0 ||
        file_ensure(python, sitecustomize, strlen(sitecustomize), 0644, err) < 0 ||
        file_read(a, arena_printf(a, "%s/secrets/ca.pem", data_folder), BUNDLE_MAX_BYTES, &authority, err) < 0)
        return -1;
    if (file_ensure(arena_printf(a, "%s/ca.pem", folder), authority.data, authority.size, 0644, err) < 0 ||
        write_bundle(a, folder, authority, err) < 0 ||
        file_ensure(arena_printf(a, "%s/aws/endpoints.json", folder), endpoints, strlen(endpoints), 0644, err) < 0)
        return -1;
    return file_ensure(arena_printf(a, "%s/sagemaker.yaml", folder), sdk, strlen(sdk), 0644, err);
}
