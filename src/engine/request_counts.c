#include "engine/request_counts.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

static struct request_count *count_of(struct request_counts *all, const char *service)
{
    for (int i = 0; i < all->count; i++)
        if (strcmp(all->of[i].service, service) == 0)
            return &all->of[i];
    if (all->count == (int)(sizeof all->of / sizeof *all->of))
        return NULL;
    all->of[all->count].service = service;
    return &all->of[all->count++];
}

void request_counts_add(struct request_counts *all, const char *service, int status, int64_t took_us)
{
    struct request_count *c = count_of(all, service);

    if (!c)
        return;
    c->requests++;
    /* Who asks for what is not here has not met a fault of ours. */
    c->client_errors += status >= 400 && (status < 500 || status == 501);
    c->server_errors += status >= 500 && status != 501;
    if (took_us > 0)
        c->microseconds += (uint64_t)took_us;
}

void request_counts_print(const struct request_counts *all, struct buf *b)
{
    static const struct {
        const char *name, *help;
        size_t offset;
    } families[] = {
        { "sagebrush_requests_total", "Requests answered.", offsetof(struct request_count, requests) },
        { "sagebrush_client_errors_total", "Answers with a status of 4xx, or 501.",
          offsetof(struct request_count, client_errors) },
        { "sagebrush_server_errors_total", "Answers with a status of 5xx but 501.",
          offsetof(struct request_count, server_errors) },
        { "sagebrush_request_microseconds_total", "Time from a complete head to the answer.",
          offsetof(struct request_count, microseconds) },
    };

    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        buf_printf(b, "# HELP %s %s\n# TYPE %s counter\n", families[f].name, families[f].help, families[f].name);
        for (int i = 0; i < all->count; i++)
            buf_printf(b, "%s{service=\"%s\"} %" PRIu64 "\n", families[f].name, all->of[i].service,
                       *(const uint64_t *)(const void *)((const char *)&all->of[i] + families[f].offset));
    }
}
