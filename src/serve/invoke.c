/* invoke.c - InvokeEndpoint, InvokeEndpointWithResponseStream: from the public port straight to a container.
 *
 * The signature of a SageMaker request covers the hash of its body, so nothing is known about who asks before the
 * last byte is here. A body of at most 1 MB is gathered first, and the container sees only what was verified. A
 * larger one flows through, under the rights of who claims to ask, and its last byte is kept back until the signature
 * proved right: without it the container has no request. */
#include "serve/worker.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/policy.h"
#include "base/log.h"
#include "doc/json.h"
#include "serve/caller.h"
#include "serve/response_stream.h"
#include "sign/digest.h"

enum {
    BODY_MAX_BYTES = 6291456,
    GATHERED_MAX_BYTES = 1 << 20,
    ANSWER_GATHERED_BYTES = 65536, /* of the container's: sent in one piece with its head */
    MESSAGE_MAX_BYTES = 65536,     /* of a container's error that is told to the client */
    ANSWER_MS = 60000,
    QUEUE_BYTES = 262144,
    TRIES_MAX = 3,
};

/* All that is left of a request's head for the container; the rest is stripped. Accept has another name where the
 * answer streams. */
enum { ACCEPT = 1 };
static const struct str forwarded[] = {
    { "Content-Type", 12 },
    { "Accept", 6 },
    { "X-Amzn-SageMaker-Custom-Attributes", 34 },
    { "X-Amzn-SageMaker-Session-Id", 27 },
    { "X-Amzn-SageMaker-Inference-Id", 29 },
};

/* And of the container's answer for the client, under the name it has there. */
static const struct {
    struct str from, to;
} answered[] = {
    { { "Content-Type", 12 }, { "Content-Type", 12 } },
    { { "X-Amzn-SageMaker-Custom-Attributes", 34 }, { "X-Amzn-SageMaker-Custom-Attributes", 34 } },
    { { "X-Amzn-SageMaker-Session-Id", 27 }, { "X-Amzn-SageMaker-New-Session-Id", 31 } },
    { { "X-Amzn-SageMaker-Closed-Session-Id", 34 }, { "X-Amzn-SageMaker-Closed-Session-Id", 34 } },
};

enum { CONTENT_TYPE = 0, NEW_SESSION = 2 /* told to the client only when it had asked for one */ };
static const struct str streamed_type = { "X-Amzn-SageMaker-Content-Type", 29 };

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct invocation {
    struct worker *worker;
    struct http_exchange *x;
    struct table *table;
    struct str name; /* of the endpoint, as asked */
    char request_id[37];

    bool new_session, streams;
    struct sigv4_request request;
    struct sigv4_claim claim;
    struct caller caller;

    const struct table_endpoint *endpoint;
    const struct table_variant *variant;
    const struct table_instance *instance;
    struct http_call *call;
    struct buf head;   /* of the request to the container */
    struct str body;   /* gathered */
    const struct http_head *response; /* of the container, as long as the call runs */
    struct buf answer;                /* gathered */
    int64_t answered;                 /* bytes of it */
    int tries;
    int64_t sent_us;

    /* A body that flows through. */
    bool flowing, verified, early;
    struct digest digest;
    int64_t received;
    char last; /* kept back */
    bool has_last;

    int status;       /* of the container */
    bool counted, cut; /* cut: more of an error's body came than is told */
    struct err *refusal; /* found early, told after the body was read; NULL: none */
};

/* --- Errors --- */

static void make_request_id(struct rand *rand, char ret[37])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t words[2] = { rand_u64(rand), rand_u64(rand) };
    int at = 0;

    for (int i = 0; i < 32; i++) {
        unsigned digit = (unsigned)(words[i / 16] >> (i % 16 * 4)) & 15;

        if (i == 8 || i == 12 || i == 16 || i == 20)
            ret[at++] = '-';
        if (i == 12)
            digit = 4;
        if (i == 16)
            digit = (digit & 3) | 8;
        ret[at++] = digits[digit];
    }
    ret[at] = '\0';
}

void answer_error(struct http_exchange *x, const char *request_id, int status, const char *code, const char *body)
{
    struct http_header headers[] = {
        { STR("Content-Type"), STR("application/json") },
        { STR("x-amzn-RequestId"), str_of(request_id) },
        { STR("x-amzn-ErrorType"), str_of(code) },
    };

    http_answer(x, status, headers, COUNT(headers), str_of(body));
}

static void refuse(struct invocation *v, const struct err *err)
{
    static const int usual[] = {
        [ERR_INVALID] = 400, [ERR_DENIED] = 403,      [ERR_NOT_FOUND] = 404, [ERR_CONFLICT] = 409,
        [ERR_LIMIT] = 413,   [ERR_UNAVAILABLE] = 503, [ERR_INTERNAL] = 500,
    };
    struct doc *d = doc_map(v->x->arena);

    /* SigV4's own refusals say "message", as everywhere in AWS; readers of errors look for both. */
    doc_set_string(v->x->arena, d, strcmp(err->code, "ValidationError") == 0 ? "Message" : "message", err->text);
    answer_error(v->x, v->request_id, err->http_status ? err->http_status : usual[err->kind],
                 *err->code ? err->code : "InternalFailure", json_text(v->x->arena, d));
}

static int validation(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int validation(struct err *err, const char *format, ...)
{
    va_list ap;

    *err = (struct err){ .kind = ERR_INVALID, .http_status = 400, .code = "ValidationError" };
    va_start(ap, format);
    vsnprintf(err->text, sizeof err->text, format, ap);
    va_end(ap);
    return -1;
}

static void remember(struct invocation *v, const struct err *err)
{
    v->refusal = arena_copy(v->x->arena, err, sizeof *err);
}

/* A client reads JSON, and a container may say anything. */
static struct str as_text(struct arena *a, struct str bytes)
{
    char *text;

    if (utf8_valid(bytes))
        return bytes;
    text = arena_strndup(a, bytes.data, bytes.size);
    for (size_t i = 0; i < bytes.size; i++)
        if ((unsigned char)text[i] >= 0x80)
            text[i] = '?';
    return (struct str){ text, bytes.size };
}

static void count(struct invocation *v, int64_t model_us)
{
    int64_t total_us = boot_us() - v->x->started_us;
    struct counters_sample sample = { v->status, model_us, model_us < 0 ? -1 : total_us - model_us,
                                      v->variant->route->instance_count };

    if (v->counted)
        return;
    v->counted = true;
    counters_add(v->variant->counters, worker_wall_ms(v->worker) / 60000, &sample);
}

/* The container answered with an error, or not at all (status 0). Words and form as SageMaker's, but for
 * its link to a console that is not here. */
static void model_error(struct invocation *v, int status, struct str message, bool cut)
{
    struct arena *a = v->x->arena;
    const struct route_endpoint *e = v->endpoint->route;
    struct doc *d = doc_map(a);
    char *text, *see;

    count(v, boot_us() - v->sent_us);
    message = as_text(a, message);
    see = arena_printf(a,
                       "See the log group /aws/sagemaker/Endpoints/%s in account %s for more information.", e->name,
                       e->account);
    if (cut)
        text = arena_printf(a, "Received %s error (%d) from primary and could not load the entire response body. %s",
                            status >= 400 && status < 500 ? "client" : "server", status, see);
    else
        text = arena_printf(a, "Received %s error (%d) from primary with message \"" STR_FMT "\". %s",
                            status >= 400 && status < 500 ? "client" : "server", status, STR_ARG(message), see);
    doc_set_string(a, d, "Message", text);
    doc_set_integer(a, d, "OriginalStatusCode", status);
    doc_set(a, d, "OriginalMessage", doc_str(a, cut ? STR("") : message));
    doc_set_string(
        a, d, "LogStreamArn",
        arena_printf(a, "arn:aws:logs:%s:%s:log-group:/aws/sagemaker/Endpoints/%s", e->region, e->account, e->name));
    answer_error(v->x, v->request_id, 424, "ModelError", json_text(a, d));
}

/* --- Who asks, and may they? --- */

static int identify(struct invocation *v, struct err *err)
{
    struct arena *a = v->x->arena;

    if (sigv4_parse(a, &v->request, "sagemaker", &v->claim, err) < 0)
        return -1;
    switch (v->claim.payload) {
    case SIGV4_BODY:
    case SIGV4_HASH:
    case SIGV4_UNSIGNED:
        break;
    default:
        return validation(err, "Bodies in the aws-chunked encoding are for Amazon S3.");
    }
    return caller_find(a, v->table, &v->claim, worker_wall_ms(v->worker), &v->caller, err);
}

static int verify(struct invocation *v, const unsigned char body_sha256[32], struct err *err)
{
    if (sigv4_verify(v->worker->signatures, &v->request, &v->claim, str_of(v->caller.secret_access_key),
                     v->claim.payload == SIGV4_BODY ? body_sha256 : NULL, worker_wall_ms(v->worker), NULL, err) < 0)
        return -1;
    return v->claim.payload == SIGV4_HASH ? sigv4_check_body(&v->claim, body_sha256, err) : 0;
}

/* Policy first: what is not there is told only to who might see it. */
static int authorize(struct invocation *v, struct err *err)
{
    struct arena *a = v->x->arena;
    struct policy_caller caller = {
        .arn = v->caller.arn,
        .account = v->caller.account,
        .user_id = v->caller.user_id,
        .source_ip = v->x->peer,
        .region = str_dup(a, v->claim.region),
        .tls = v->x->tls,
        .now_ms = worker_wall_ms(v->worker),
    };
    struct policy_request request = {
        .policies = v->caller.policies,
        .session_policy = v->caller.session_policy,
        .arn = v->caller.arn,
        .action = v->streams ? "sagemaker:InvokeEndpointWithResponseStream" : "sagemaker:InvokeEndpoint",
    };
    struct str target = http_value(v->x->head, "X-Amzn-SageMaker-Target-Model");
    struct doc *context;

    if (v->caller.trusted)
        return 0;
    context = policy_context(a, &caller);
    if (target.size)
        doc_set(a, context, "sagemaker:TargetModel", doc_str(a, target));
    request.context = context;
    request.resource = v->endpoint ? v->endpoint->route->arn
                                   : arena_printf(a, "arn:aws:sagemaker:%s:%s:endpoint/" STR_FMT, caller.region,
                                                  v->caller.account, STR_ARG(v->name));
    return policy_allow(&request, "sagemaker", err);
}

/* What names one of several models that no endpoint here has: an answer of the only one would pass for that of another.
 * AWS's words, but for the container's. */
static int refuse_targets(const struct invocation *v, struct err *err)
{
    const struct http_head *head = v->x->head;

    if (http_find(head, "X-Amzn-SageMaker-Target-Model"))
        return validation(err, "Endpoint " STR_FMT " is not a multi-model endpoint and does not support target model "
                               "header.", STR_ARG(v->name));
    if (http_find(head, "X-Amzn-SageMaker-Target-Container-Hostname"))
        return validation(err, "Endpoint " STR_FMT " is not a multi-container endpoint with direct invocation and does "
                               "not support target container hostname header.", STR_ARG(v->name));
    if (http_find(head, "X-Amzn-SageMaker-Inference-Component"))
        return validation(err, "Inference Component Name header is not allowed for endpoints to which you dont plan to "
                               "deploy inference components. Please remove the Inference Component Name header and try "
                               "again.");
    return 0;
}

static int choose(struct invocation *v, struct err *err)
{
    const struct str *target = http_find(v->x->head, "X-Amzn-SageMaker-Target-Variant");

    if (!v->endpoint)
        return validation(err, "Endpoint " STR_FMT " of account %s not found.", STR_ARG(v->name), v->caller.account);
    if (refuse_targets(v, err) < 0)
        return -1;
    if (target) {
        v->variant = endpoint_variant(v->endpoint, *target);
        if (!v->variant)
            return validation(err, "Variant " STR_FMT " of endpoint " STR_FMT " not found.", STR_ARG(*target),
                              STR_ARG(v->name));
    } else {
        v->variant = endpoint_choose(v->endpoint, &v->worker->rand);
    }
    v->instance = v->variant ? variant_choose(v->variant, &v->worker->rand, NULL) : NULL;
    if (!v->instance) {
        *err = (struct err){ .kind = ERR_UNAVAILABLE, .http_status = 503, .code = "ServiceUnavailable" };
        snprintf(err->text, sizeof err->text, "Endpoint " STR_FMT " has no instance in service.", STR_ARG(v->name));
        return -1;
    }
    return 0;
}

static void find_endpoint(struct invocation *v)
{
    v->endpoint = table_endpoint(v->table, v->caller.account, v->claim.region, v->name);
}

/* --- The container's answer --- */

static size_t answer_headers(struct invocation *v, struct http_header *ret)
{
    const struct http_head *from = v->response;
    size_t used = 0;

    ret[used++] = (struct http_header){ STR("x-amzn-RequestId"), str_of(v->request_id) };
    ret[used++] = (struct http_header){ STR("x-Amzn-Invoked-Production-Variant"), str_of(v->variant->route->name) };
    for (size_t i = 0; i < from->header_count; i++)
        for (size_t j = 0; j < COUNT(answered); j++)
            if (from->headers[i].name.size == answered[j].from.size && used < 2 + COUNT(answered) &&
                str_is_nocase(from->headers[i].name, answered[j].from.data) && (j != NEW_SESSION || v->new_session))
                ret[used++] = (struct http_header){ j == CONTENT_TYPE && v->streams ? streamed_type : answered[j].to,
                                                    from->headers[i].value };
    return used;
}

static void start_answer(struct invocation *v)
{
    struct http_header headers[2 + COUNT(answered)];
    size_t used = answer_headers(v, headers);

    if (v->streams)
        response_stream_start(v->x, headers, used);
    else
        http_answer_start(v->x, 200, headers, used, v->response->length);
    if (v->answer.size)
        http_answer_write(v->x, v->answer.data, v->answer.size);
    buf_clear(&v->answer);
}

static void container_head(void *owner, const struct http_head *head)
{
    struct invocation *v = owner;

    v->status = head->status;
    v->response = head;
    if (v->flowing && !v->verified) {
        /* The container did not wait for the end. What it says is for who may hear it: not known yet. */
        v->early = true;
        http_call_pause(v->call, true);
        http_read(v->x);
    }
}

static bool succeeded(const struct invocation *v)
{
    return v->status >= 200 && v->status < 300;
}

static void answer_too_large(struct invocation *v)
{
    char text[128];

    snprintf(text, sizeof text, "The response is larger than %d bytes.", BODY_MAX_BYTES);
    http_call_cancel(v->call);
    v->call = NULL;
    if (http_answer_started(v->x)) {
        count(v, boot_us() - v->sent_us);
        http_abort(v->x);
    } else {
        model_error(v, v->status, str_of(text), false);
    }
}

static void container_body(void *owner, const char *data, size_t size)
{
    struct invocation *v = owner;

    if (!succeeded(v)) {
        if (v->answer.size + size > MESSAGE_MAX_BYTES)
            v->cut = true;
        else
            buf_append(&v->answer, data, size);
        return;
    }
    if (v->streams) {
        if (!http_answer_started(v->x))
            start_answer(v);
        if (response_stream_part(v->x, data, size) > QUEUE_BYTES)
            http_call_pause(v->call, true);
        return;
    }
    v->answered += (int64_t)size;
    if (v->answered > BODY_MAX_BYTES) {
        answer_too_large(v);
        return;
    }
    /* The whole of it came at once, as it mostly does: it goes on from where it is. */
    if (!http_answer_started(v->x) && (int64_t)size == v->response->length)
        start_answer(v);
    if (!http_answer_started(v->x)) {
        if (v->answer.size + size <= ANSWER_GATHERED_BYTES) {
            buf_append(&v->answer, data, size);
            return;
        }
        start_answer(v);
    }
    if (http_answer_write(v->x, data, size) > QUEUE_BYTES)
        http_call_pause(v->call, true);
}

static void container_end(void *owner)
{
    struct invocation *v = owner;

    v->call = NULL;
    if (!succeeded(v)) {
        model_error(v, v->status, (struct str){ v->answer.data, v->answer.size }, v->cut);
        return;
    }
    count(v, boot_us() - v->sent_us);
    if (v->streams && !http_answer_started(v->x))
        start_answer(v);
    if (http_answer_started(v->x)) {
        http_answer_end(v->x);
    } else {
        struct http_header headers[2 + COUNT(answered)];
        size_t used = answer_headers(v, headers);

        http_answer(v->x, 200, headers, used, (struct str){ v->answer.data, v->answer.size });
    }
}

static void send_gathered(struct invocation *v);

static void container_failed(void *owner, enum http_failure failure, const char *why)
{
    struct invocation *v = owner;
    struct str message = str_of(why);

    v->call = NULL;
    v->status = 0;
    /* Nothing of the request was sent: another instance may do. */
    if (failure == HTTP_CANNOT_CONNECT && !v->flowing && ++v->tries < TRIES_MAX) {
        v->instance = variant_choose(v->variant, &v->worker->rand, v->instance);
        send_gathered(v);
        return;
    }
    if (v->flowing && !v->verified) {
        /* Told when the whole body was read: only then it is known who asks. */
        v->early = true;
        v->answer.size = 0;
        buf_append_str(&v->answer, why);
        http_read(v->x);
        return;
    }
    if (http_answer_started(v->x)) {
        count(v, boot_us() - v->sent_us);
        if (v->streams)
            response_stream_break(v->x, failure == HTTP_TIMED_OUT ? "ModelInvocationTimeExceeded" : "StreamBroken",
                                  why);
        else
            http_abort(v->x);
        return;
    }
    if (failure == HTTP_TIMED_OUT)
        message =
            STR("Your invocation timed out while waiting for a response from container primary. Review the latency "
                "metrics for each container in Amazon CloudWatch, resolve the issue, and try again.");
    model_error(v, 0, message, false);
}

static void container_drained(void *owner)
{
    struct invocation *v = owner;

    if (v->flowing && !http_body_done(v->x))
        http_read(v->x);
}

static const struct http_call_events events = {
    .head = container_head,
    .body = container_body,
    .end = container_end,
    .failed = container_failed,
    .drained = container_drained,
};

/* --- The request to the container --- */

static struct str name_from_client(const struct invocation *v, size_t which)
{
    return which == ACCEPT && v->streams ? STR("X-Amzn-SageMaker-Accept") : forwarded[which];
}

static void write_head(struct invocation *v, int64_t length)
{
    const struct http_head *from = v->x->head;
    struct buf *b = &v->head;

    buf_clear(b);
    if (!b->capacity)
        buf_reserve(b, 480);
    buf_append_str(b, "POST /invocations HTTP/1.1\r\n");
    http_write_header(b, STR("Host"), v->instance->host);
    for (size_t i = 0; i < from->header_count; i++)
        for (size_t j = 0; j < COUNT(forwarded); j++) {
            struct str name = name_from_client(v, j);

            if (from->headers[i].name.size == name.size && str_is_nocase(from->headers[i].name, name.data)) {
                http_write_header(b, forwarded[j], from->headers[i].value);
                break;
            }
        }
    buf_append_str(b, "Content-Length: ");
    buf_append_int(b, length);
    buf_append(b, "\r\n\r\n", 4);
}

static void send_gathered(struct invocation *v)
{
    struct http_call_options options = { .body = v->body, .answer_ms = ANSWER_MS, .events = &events, .owner = v };

    write_head(v, (int64_t)v->body.size);
    options.head = (struct str){ v->head.data, v->head.size };
    v->sent_us = boot_us();
    v->call = http_call_start(v->instance->upstream, &options);
}

static void answer_drained(struct http_exchange *x)
{
    struct invocation *v = x->data;

    if (v->call)
        http_call_pause(v->call, false);
}

static void closed(struct http_exchange *x, bool complete)
{
    struct invocation *v = x->data;

    /* The client left: the container's work is for nobody. */
    if (v->call) {
        v->status = -1;
        count(v, -1);
        http_call_cancel(v->call);
        v->call = NULL;
    }
    buf_free(&v->head);
    buf_free(&v->answer);
    worker_release(v->worker, v->table);
}

/* --- A gathered body --- */

static int check_gathered(struct invocation *v, struct err *err)
{
    unsigned char hash[SHA256_SIZE];

    sha256(hash, v->body.data, v->body.size);
    if (verify(v, hash, err) < 0)
        return -1;
    find_endpoint(v);
    return authorize(v, err) < 0 || choose(v, err) < 0 ? -1 : 0;
}

static int too_large(struct err *err, int64_t size)
{
    validation(err, "Request %" PRId64 " is too large. It should not exceed %d bytes.", size, BODY_MAX_BYTES);
    err->http_status = 413;
    return -1;
}

static void gathered(struct http_exchange *x, struct str body)
{
    struct invocation *v = x->data;
    struct err err;

    if (v->refusal) {
        refuse(v, v->refusal);
        return;
    }
    if (!body.data) {
        too_large(&err, (int64_t)body.size);
        refuse(v, &err);
        return;
    }
    v->body = body;
    if (check_gathered(v, &err) < 0)
        refuse(v, &err);
    else
        send_gathered(v);
}

/* --- A body that flows through --- */

static void flow(struct http_exchange *x, const char *data, size_t size)
{
    struct invocation *v = x->data;

    digest_update(&v->digest, data, size);
    v->received += (int64_t)size;
    if (!v->call || v->early)
        return;
    if (v->has_last)
        http_call_write(v->call, &v->last, 1);
    v->last = data[size - 1];
    v->has_last = true;
    if (size > 1 && http_call_write(v->call, data, size - 1) > QUEUE_BYTES)
        http_pause(x);
}

static void flow_end(struct http_exchange *x)
{
    struct invocation *v = x->data;
    unsigned char hash[SHA256_SIZE];
    struct err err;

    digest_finish(&v->digest, hash);
    v->verified = verify(v, hash, &err) == 0;
    if (!v->verified || v->refusal) {
        http_call_cancel(v->call);
        v->call = NULL;
        refuse(v, v->verified ? v->refusal : &err);
        return;
    }
    if (!v->call) {
        model_error(v, 0, (struct str){ v->answer.data, v->answer.size }, false);
        return;
    }
    if (v->early) {
        http_call_pause(v->call, false);
        return;
    }
    http_call_write(v->call, &v->last, 1);
    http_call_end(v->call);
    v->sent_us = boot_us();
}

static void start_flow(struct invocation *v)
{
    struct http_call_options options = {
        .more = true, .fresh = true, .answer_ms = ANSWER_MS, .events = &events, .owner = v
    };
    struct err err;

    v->flowing = true;
    digest_start(&v->digest, DIGEST_SHA256);
    v->x->body = flow;
    v->x->body_end = flow_end;
    find_endpoint(v);
    if (authorize(v, &err) < 0 || choose(v, &err) < 0) {
        remember(v, &err);
    } else {
        write_head(v, v->x->head->length);
        options.head = (struct str){ v->head.data, v->head.size };
        v->sent_us = boot_us();
        v->call = http_call_start(v->instance->upstream, &options);
    }
    http_read(v->x);
}

/* --- The beginning --- */

void invoke(struct worker *w, struct http_exchange *x, struct str endpoint, bool streams)
{
    struct invocation *v = arena_new_of(x->arena, struct invocation);
    int64_t length = x->head->length;
    struct err err;

    _Static_assert(sizeof(struct http_header) == sizeof(struct sigv4_header) &&
                       offsetof(struct http_header, value) == offsetof(struct sigv4_header, value),
                   "a head's headers are read as they stand");
    v->worker = w;
    v->x = x;
    v->name = uri_decode(x->arena, endpoint, false);
    v->table = worker_hold(w);
    v->streams = streams;
    v->new_session = str_is(http_value(x->head, "X-Amzn-SageMaker-Session-Id"), "NEW_SESSION");
    v->request = (struct sigv4_request){ x->head->method, x->head->target,
                                          (const struct sigv4_header *)x->head->headers, (int)x->head->header_count };
    x->data = v;
    x->closed = closed;
    x->drained = answer_drained;
    make_request_id(&w->rand, v->request_id);
    if (!v->table) {
        err = (struct err){ .kind = ERR_UNAVAILABLE, .http_status = 503, .code = "ServiceUnavailable" };
        snprintf(err.text, sizeof err.text, "The server is starting. Try again.");
        remember(v, &err);
    } else if (identify(v, &err) < 0 || (length > BODY_MAX_BYTES && too_large(&err, length) < 0)) {
        remember(v, &err);
    }
    if (v->refusal && length <= ANSWER_GATHERED_BYTES)
        http_read_all(x, ANSWER_GATHERED_BYTES, gathered); /* so that the connection can be kept */
    else if (v->refusal)
        refuse(v, v->refusal);
    else if (length > GATHERED_MAX_BYTES)
        start_flow(v);
    else
        http_read_all(x, BODY_MAX_BYTES, gathered);
}
