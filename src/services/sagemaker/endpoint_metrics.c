#include "services/sagemaker/endpoint_metrics.h"

#include <inttypes.h>

enum { MINUTE_MS = 60000 };

struct statistics {
    double samples, sum, minimum, maximum;
};

/* One or none of a thing for each invocation. */
static struct statistics share(double samples, double sum)
{
    return (struct statistics){ samples, sum, sum >= samples, sum > 0 };
}

struct doc *endpoint_metrics(struct arena *a, const struct counters_reading *r, int64_t at_ms)
{
    double n = (double)r->invocations, bad4 = (double)r->errors_4xx, bad5 = (double)r->errors_5xx,
           per_instance = (double)r->per_instance_ppm / 1e6;
    /* Each invocation is one sample of each. Names and units are SageMaker's. */
    const struct {
        const char *name, *unit;
        struct statistics statistics;
    } metrics[] = {
        { "Invocations", "None", { n, n, 1, 1 } },
        { "InvocationsPerInstance", "None", { n, per_instance, per_instance / n, per_instance / n } },
        { "Invocation4XXErrors", "None", share(n, bad4) },
        { "Invocation5XXErrors", "None", share(n, bad5) },
        { "InvocationModelErrors", "None", share(n, bad4 + bad5) },
        { "ModelLatency",
          "Microseconds",
          { (double)r->model.count, (double)r->model.sum_us, (double)r->model.min_us, (double)r->model.max_us } },
        { "OverheadLatency",
          "Microseconds",
          { (double)r->overhead.count, (double)r->overhead.sum_us, (double)r->overhead.min_us,
            (double)r->overhead.max_us } },
    };
    struct doc *batch = doc_map(a), *data = doc_list(a), *dimensions = doc_map(a);

    doc_set_string(a, dimensions, "EndpointName", r->endpoint);
    doc_set_string(a, dimensions, "VariantName", r->variant);
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        const struct statistics *s = &metrics[i].statistics;
        struct doc *d = doc_map(a), *statistics = doc_map(a);

        if (s->samples <= 0)
            continue;
        doc_set_real(a, statistics, "samples", s->samples);
        doc_set_real(a, statistics, "sum", s->sum);
        doc_set_real(a, statistics, "minimum", s->minimum);
        doc_set_real(a, statistics, "maximum", s->maximum);
        doc_set_string(a, d, "name", metrics[i].name);
        doc_set_string(a, d, "unit", metrics[i].unit);
        doc_set_integer(a, d, "at_ms", at_ms);
        doc_set(a, d, "dimensions", doc_copy(a, dimensions));
        doc_set(a, d, "statistics", statistics);
        doc_append(a, data, d);
    }
    doc_set_string(a, batch, "account", r->account);
    doc_set_string(a, batch, "region", r->region);
    doc_set_string(a, batch, "namespace", "AWS/SageMaker");
    doc_set_string(a, batch, "id",
                   arena_printf(a, "serve:%" PRId64 ":%s:%s/%s", at_ms / MINUTE_MS, r->region, r->endpoint,
                                r->variant));
    doc_set(a, batch, "data", data);
    return batch;
}
