/* links: base doc sign net aws run agent */
/* The files of an agent's folder: orders, reports, exit records. The first byte chooses. */
#include <assert.h>
#include <stdint.h>

#include "agent/ml.h"
#include "agent/order.h"
#include "agent/report.h"
#include "doc/json.h"
#include "run/exitrecord.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str text = { (const char *)data + 1, size - 1 };
    struct image image = { .kind = IMAGE_HOST };
    struct exit_record record;
    struct report *report;
    struct order order;
    struct doc *d;
    struct err err;

    if (size < 1)
        return 0;
    if (data[0] == 'x') {
        if (exit_record_parse(a, text, &record, &err) == 0)
            assert(record.exit_code >= 0 && record.exit_code < 256 && record.problem);
        return 0;
    }
    if (json_parse(a, text, &d, &err) < 0)
        return 0;
    if (data[0] == 'r') {
        report = report_new(d);
        report_enter(report, "Training", "", 1);
        report_set_bool(report, "healthy", true);
        report_set_doc(report, "final_metrics", d);
        assert(json_text(a, report_next(report)));
        report_free(report);
        return 0;
    }
    if (order_read(d, &order, &err) < 0)
        return 0;
    assert(ml_command(a, &order, &image, "/p")[0]);
    assert(ml_environment(a, &order, &image, NULL, 0));
    return 0;
}
