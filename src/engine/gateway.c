#include "engine/gateway.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "aws/wire.h"
#include "base/list.h"
#include "base/log.h"
#include "engine/answers.h"
#include "engine/bodies.h"
#include "engine/download.h"
#include "engine/engine.h"
#include "engine/request_counts.h"
#include "engine/upload.h"
#include "sign/chunked.h"
#include "sign/digest.h"
#include "sign/sigv2.h"

enum {
    BODY_MAX_BYTES = 16 << 20, /* of a document: the largest of AWS's are a few MB */
    ANSWERS_MAX_BYTES = 16 << 20, /* a thousand jobs with all the metrics of an algorithm */
};

struct gateway {
    struct gateway_options options;
    struct sigv4_cache *signatures;
    struct answers *answers;
    struct list held; /* exchanges whose answer waits for the commit */
    struct request_counts counts;
};

/* One request on its way through; lives in the exchange's arena. */
struct passage {
    struct list link; /* in gateway.held, while it is */
    struct gateway *gateway;
    struct http_exchange *x;
    struct arena *arena;

    struct wire_request request;
    struct sigv4_request signed_request;
    struct sigv4_claim claim;
    struct sigv4_seed seed;
    struct identity identity;
    struct wire_match match;
    struct call call;

    struct chunked *chunked;
    struct uploading *upload;
    struct downloading *download;
    const char *source_ip;
    bool tls;
    bool old_signature;       /* a presigned URL of version 2 */
    bool verified;            /* else the signature needs the body's hash */
    bool failed;

    struct wire_response response;
};

static void fail_request(struct passage *g, struct err *err);

/* --- Beginning: the head --- */

/* "x-sagebrush-peer: 192.0.2.1 tls" is the data plane's word about who is really there; it removes any the client sent.
 * Over the socket of the jobs it would be the job's own word. */
static void read_peer(struct passage *g, bool from_data_plane)
{
    struct str value = http_value(g->x->head, "x-sagebrush-peer"), ip, how;

    g->source_ip = *g->x->peer ? g->x->peer : "127.0.0.1";
    g->tls = g->x->tls;
    if (from_data_plane && *g->x->peer == '\0' && str_cut(value, ' ', &ip, &how)) {
        g->source_ip = str_dup(g->arena, ip);
        g->tls = str_is(how, "tls");
    }
}

static char *request_id(struct gateway *gw, struct arena *a)
{
    static const int groups[] = { 4, 2, 2, 2, 6 }; /* bytes, with a dash after each: a UUID's form */
    unsigned char bytes[16];
    char *id = arena_alloc(a, 2 * sizeof bytes + 5), *at = id;
    const unsigned char *from = bytes;
    struct rand *rand = engine_world_of(gw->options.engine)->rand;

    rand->fill(rand, bytes, sizeof bytes);
    for (int i = 0; i < 5; i++) {
        hex_encode(at, from, (size_t)groups[i]);
        at += 2 * groups[i];
        *at++ = '-';
        from += groups[i];
    }
    at[-1] = '\0';
    return id;
}

static struct passage *passage_new(struct gateway *gw, struct http_exchange *x, bool from_data_plane)
{
    const struct http_head *head = x->head;
    struct passage *g = arena_new_of(x->arena, struct passage);
    struct sigv4_header *headers = arena_array_of(x->arena, struct sigv4_header, head->header_count);

    for (size_t i = 0; i < head->header_count; i++)
        headers[i] = (struct sigv4_header){ head->headers[i].name, head->headers[i].value };
    list_init(&g->link);
    g->gateway = gw;
    g->x = x;
    g->arena = x->arena;
    g->request = (struct wire_request){ .method = head->method, .target = head->target, .headers = headers,
                                        .header_count = (int)head->header_count, .hosts = gw->options.hosts };
    g->signed_request = (struct sigv4_request){ head->method, head->target, headers, (int)head->header_count };
    g->call.request_id = request_id(gw, x->arena);
    read_peer(g, from_data_plane);
    return g;
}

static const char *service_of(const struct passage *g)
{
    return g->match.service ? g->match.service->signing_name : str_dup(g->arena, g->claim.service);
}

static int verify(struct passage *g, const unsigned char *body_sha256, struct err *err)
{
    if (sigv4_verify(g->gateway->signatures, &g->signed_request, &g->claim, g->identity.secret, body_sha256,
                     engine_now_ms(g->gateway->options.engine), &g->seed, err) < 0)
        return -1;
    g->verified = true;
    return 0;
}

/* A key that was lent for one service's requests must not open another's: only the target of a request says for sure
 * which it is for. Paths and actions were looked up among those of the scope's service. */
static int check_service(const struct passage *g, struct err *err)
{
    if (!g->match.service || g->old_signature || sigv4_anonymous(&g->signed_request))
        return 0;
    return sigv4_check_service(&g->claim, g->match.service->signing_name, err);
}

/* S3's upload by a form of a browser: who may is said in the form, not in the head. */
static bool is_form(const struct passage *g)
{
    const struct str *type = wire_header(&g->request, "content-type");

    return str_is(g->request.method, "POST") && type && str_starts(*type, "multipart/form-data");
}

static int refuse_form(struct err *err)
{
    fail_code(err, ERR_INVALID, "NotImplemented",
              "Sagebrush does not implement uploads by POST with a policy (generate_presigned_post) yet. Use a "
              "presigned PUT: generate_presigned_url(\"put_object\").");
    err->http_status = 501;
    return -1;
}

/* Who asks, and as far as the head tells: is it true. */
static int admit(struct passage *g, struct err *err)
{
    struct gateway *gw = g->gateway;

    if (!g->old_signature && sigv4_anonymous(&g->signed_request) && is_form(g))
        return refuse_form(err);
    if (!g->old_signature && sigv4_anonymous(&g->signed_request))
        return sigv4_refuse(err, service_of(g), SIGV4_MISSING);
    if (g->old_signature && (!g->match.service || strcmp(g->match.service->name, "s3") != 0))
        return sigv4_refuse(err, service_of(g), SIGV4_MISSING);
    if (gw->options.identify(gw->options.context, g->arena, &g->claim, service_of(g), &g->identity, err) < 0)
        return -1;
    if (g->old_signature) {
        if (sigv2_verify(g->arena, &g->signed_request, &g->claim, g->match.bucket, g->identity.secret,
                         engine_now_ms(gw->options.engine), err) < 0)
            return -1;
        g->verified = true;
        return 0;
    }
    return g->claim.payload == SIGV4_BODY ? 0 : verify(g, NULL, err);
}

/* --- The call --- */

static struct doc *headers_doc(struct passage *g)
{
    struct doc *map = doc_map(g->arena);

    for (int i = 0; i < g->request.header_count; i++) {
        char *name = str_dup(g->arena, g->request.headers[i].name);

        for (char *p = name; *p; p++)
            if (*p >= 'A' && *p <= 'Z')
                *p = (char)(*p | 32);
        doc_append_member(g->arena, map, name, doc_str(g->arena, g->request.headers[i].value));
    }
    doc_drop_repeated(g->arena, map);
    return map;
}

static void hold(struct passage *g)
{
    list_append(&g->gateway->held, &g->link);
}

static size_t send_piece(void *owner, const void *data, size_t size)
{
    return http_answer_write(((struct passage *)owner)->x, data, size);
}

static void send_ended(void *owner, const struct err *err)
{
    struct passage *g = owner;

    if (!err) {
        http_answer_end(g->x);
        return;
    }
    log_error("gateway.download", "request=%s error=%s", g->call.request_id, log_quote(g->arena, err->text));
    http_abort(g->x);
}

static void make_call(struct passage *g, const struct doc *input, const struct upload *upload)
{
    struct gateway *gw = g->gateway;

    g->call = (struct call){
        .engine = gw->options.engine,
        .arena = g->arena,
        .operation = g->match.operation,
        .principal = g->identity.principal,
        .region = g->claim.region.size ? str_dup(g->arena, g->claim.region)
                                       : engine_world_of(gw->options.engine)->default_region,
        .request_id = g->call.request_id,
        .source_ip = g->source_ip,
        .tls = g->tls,
        .now_ms = engine_now_ms(gw->options.engine),
        .input = input,
        .output = doc_map(g->arena),
        .upload = upload,
        .request_headers = g->match.protocol == PROTOCOL_REST_XML ? headers_doc(g) : NULL,
    };
}

static void add_extra_headers(struct passage *g)
{
    const struct doc *extra = g->call.extra_headers;

    for (uint32_t i = 0; extra && i < extra->count; i++)
        wire_add_header(g->arena, &g->response, extra->members[i].key, extra->members[i].value->text);
}

static void encode(struct passage *g)
{
    struct answers *answers = g->gateway->answers;
    const struct call *c = &g->call;
    bool kept = c->answer_uid && g->match.protocol == PROTOCOL_JSON && !c->http_status;
    struct str body;

    if (kept && answers_find(answers, c->operation, c->answer_uid, c->answer_revision, &body)) {
        wire_encode_printed(g->arena, &g->match, body, c->request_id, &g->response);
        return;
    }
    wire_encode(g->arena, &g->match, c->output, c->http_status, c->request_id, &g->response);
    if (kept)
        answers_keep(answers, c->operation, c->answer_uid, c->answer_revision,
                     (struct str){ g->response.body.data, g->response.body.size });
}

static void run(struct passage *g, struct str body, const struct upload *upload)
{
    struct gateway *gw = g->gateway;
    struct err err;
    struct doc *input;

    g->request.body = body;
    if (!g->match.operation)
        g->match = wire_route(g->arena, &g->request, service_of(g));
    if (!g->match.operation) {
        wire_unknown(&g->match, &err);
        fail_request(g, &err);
        return;
    }
    if (check_service(g, &err) < 0 || wire_decode(g->arena, &g->match, &g->request, &input, &err) < 0) {
        fail_request(g, &err);
        return;
    }
    make_call(g, input, upload);
    if (wire_streaming(g->match.operation->output))
        g->call.download = arena_new_of(g->arena, struct download);
    if (engine_run(gw->options.engine, &g->call, &err) < 0) {
        fail_request(g, &err);
        return;
    }
    if (g->call.download && g->call.download->piece_count && !g->match.head) {
        static const struct download_events events = { send_piece, send_ended };

        g->download = download_new(gw->options.loop, gw->options.bodies, g->call.download, &events, g);
    }
    encode(g);
    add_extra_headers(g);
    hold(g);
}

static void fail_request(struct passage *g, struct err *err)
{
    struct err told;

    if (g->failed)
        return;
    g->failed = true;
    /* Refused before its body was read, or while it was: the answer still has to be in the words of its protocol. */
    if (!g->match.service)
        g->match = wire_route(g->arena, &g->request, str_dup(g->arena, g->claim.service));
    told = *err;
    if (err_hide_paths(&told) || err->kind == ERR_INTERNAL || err->kind == ERR_UNAVAILABLE)
        log_error("gateway.failed", "request=%s operation=" STR_FMT " error=%s", g->call.request_id,
                  STR_ARG(g->match.operation_name), log_quote(g->arena, err->text));
    buf_free(&g->response.body);
    wire_encode_error(g->arena, &g->match, &told, NULL, g->call.request_id, &g->response);
    add_extra_headers(g); /* of a delete marker, of what was not modified */
    if (list_empty(&g->link))
        hold(g);
}

/* --- Bodies of documents: collected, then checked as a whole --- */

static int unchunk(struct passage *g, struct str in, struct str *ret, struct doc **ret_trailers, struct err *err)
{
    const struct str *decoded = wire_header(&g->request, "x-amz-decoded-content-length");
    struct buf out = { 0 };
    const struct sigv4_header *trailers;
    struct str piece;
    int64_t size = -1;
    int count;

    if (!decoded || !str_to_int64(*decoded, &size) || size < 0 || size > BODY_MAX_BYTES)
        return fail_code(err, ERR_INVALID, "MissingContentLength", "You must provide the Content-Length HTTP header.");
    g->chunked = chunked_new(g->claim.payload, &g->seed, size);
    while (in.size > 0) {
        if (chunked_next(g->chunked, &in, &piece, err) < 0) {
            buf_free(&out);
            return -1;
        }
        buf_append(&out, piece.data, piece.size);
    }
    *ret = (struct str){ arena_strndup(g->arena, out.data, out.size), out.size };
    buf_free(&out);
    if (chunked_end(g->chunked, err) < 0)
        return -1;
    trailers = chunked_trailers(g->chunked, &count);
    *ret_trailers = doc_map(g->arena);
    for (int i = 0; i < count; i++)
        doc_set(g->arena, *ret_trailers, str_dup(g->arena, trailers[i].name), doc_str(g->arena, trailers[i].value));
    return 0;
}

/* The algorithm's header says so, where the operation has it. */
static bool checksums_are_of_body(const struct passage *g)
{
    const struct member *m =
        g->match.operation ? model_member(g->match.operation->input, STR("ChecksumAlgorithm")) : NULL;

    return m && strcmp(m->wire_name, "x-amz-sdk-checksum-algorithm") == 0;
}

static void document_here(struct passage *g, struct str body)
{
    struct doc *trailers = NULL;
    unsigned char hash[SHA256_SIZE];
    struct err err;

    if (!g->verified || g->claim.payload == SIGV4_HASH)
        sha256(hash, body.data, body.size);
    if (!g->verified && verify(g, hash, &err) < 0) {
        fail_request(g, &err);
        return;
    }
    if (g->claim.payload == SIGV4_HASH && sigv4_check_body(&g->claim, hash, &err) < 0) {
        fail_request(g, &err);
        return;
    }
    if (g->claim.payload >= SIGV4_STREAMING && unchunk(g, body, &body, &trailers, &err) < 0) {
        fail_request(g, &err);
        return;
    }
    if (g->match.protocol == PROTOCOL_REST_XML && body.size &&
        upload_check_body(headers_doc(g), trailers, body, checksums_are_of_body(g), &err) < 0) {
        fail_request(g, &err);
        return;
    }
    run(g, body, NULL);
}

static void document_ready(struct http_exchange *x, struct str body)
{
    struct passage *g = x->data;
    struct err err;

    if (!body.data && body.size) {
        fail_code(&err, ERR_LIMIT, "RequestEntityTooLargeException",
                  "A request body of more than %d bytes is not taken.", BODY_MAX_BYTES);
        err.http_status = 413;
        fail_request(g, &err);
        return;
    }
    document_here(g, body);
}

/* --- Streamed bodies: through the decoder into a blob --- */

static void upload_room(void *owner)
{
    http_read(((struct passage *)owner)->x);
}

static void upload_done(void *owner, const struct upload *upload)
{
    struct passage *g = owner;

    if (!g->failed)
        run(g, (struct str){ 0 }, upload);
}

static void upload_failed(void *owner, const struct err *err)
{
    struct err copy = *err;

    fail_request(owner, &copy);
}

static void stream_piece(struct http_exchange *x, const char *data, size_t size)
{
    struct passage *g = x->data;
    struct str in = { data, size }, piece;
    bool room = true;
    struct err err;

    if (g->failed)
        return;
    if (!g->chunked) {
        if (!upload_write(g->upload, data, size))
            http_pause(x);
        return;
    }
    while (in.size > 0) {
        if (chunked_next(g->chunked, &in, &piece, &err) < 0) {
            fail_request(g, &err);
            return;
        }
        if (piece.size)
            room = upload_write(g->upload, piece.data, piece.size);
    }
    if (!room)
        http_pause(x);
}

static void stream_end(struct http_exchange *x)
{
    struct passage *g = x->data;
    struct err err;

    if (g->failed)
        return;
    if (g->chunked) {
        const struct sigv4_header *trailers;
        struct doc *map = doc_map(g->arena);
        int count;

        if (chunked_end(g->chunked, &err) < 0) {
            fail_request(g, &err);
            return;
        }
        trailers = chunked_trailers(g->chunked, &count);
        for (int i = 0; i < count; i++)
            doc_set(g->arena, map, str_dup(g->arena, trailers[i].name), doc_str(g->arena, trailers[i].value));
        if (count && upload_trailers(g->upload, map, &err) < 0) {
            fail_request(g, &err);
            return;
        }
    }
    upload_finish(g->upload);
}

/* Before the first byte of the body: what would be refused after it is refused now. */
static int ask_first(struct passage *g, struct err *err)
{
    const struct op *op = engine_op(g->gateway->options.engine, g->match.operation);
    struct doc *input;

    if (!op || !op->admit)
        return 0;
    if (wire_decode(g->arena, &g->match, &g->request, &input, err) < 0)
        return -1;
    make_call(g, input, NULL);
    return op->admit(&g->call, err);
}

static int start_upload(struct passage *g, struct err *err)
{
    static const struct upload_events events = { upload_room, upload_done, upload_failed };
    const struct str *decoded = wire_header(&g->request, "x-amz-decoded-content-length");
    int64_t size = -1;

    if (!g->verified)
        return fail_code(err, ERR_INVALID, "InvalidRequest",
                         "Missing required header for this request: x-amz-content-sha256");
    if (g->claim.payload >= SIGV4_STREAMING) {
        if (!decoded || !str_to_int64(*decoded, &size) || size < 0) {
            fail_code(err, ERR_INVALID, "MissingContentLength", "You must provide the Content-Length HTTP header.");
            err->http_status = 411;
            return -1;
        }
        g->chunked = chunked_new(g->claim.payload, &g->seed, size);
    }
    g->upload = upload_new(g->gateway->options.loop, g->gateway->options.bodies, &events, g);
    return upload_headers(g->upload, headers_doc(g), err);
}

/* --- The exchange --- */

static void closed(struct http_exchange *x, bool complete)
{
    struct passage *g = x->data;

    list_remove(&g->link);
    download_free(g->download);
    upload_free(g->upload);
    chunked_free(g->chunked);
    buf_free(&g->response.body);
}

static void drained(struct http_exchange *x)
{
    struct passage *g = x->data;

    if (g->download)
        download_go_on(g->download);
}

static void begin(struct passage *g)
{
    struct http_exchange *x = g->x;
    struct err err;

    g->old_signature = sigv2_presigned(&g->signed_request);
    if (g->old_signature ? sigv2_parse(g->arena, &g->signed_request, &g->claim, &err) < 0
                         : !sigv4_anonymous(&g->signed_request) &&
                               sigv4_parse(g->arena, &g->signed_request, "", &g->claim, &err) < 0) {
        fail_request(g, &err);
        return;
    }
    if (g->old_signature)
        g->request.headers = sigv2_headers(g->arena, &g->signed_request, &g->request.header_count);
    if (!wire_needs_body(&g->request))
        g->match = wire_route(g->arena, &g->request, str_dup(g->arena, g->claim.service));
    if (check_service(g, &err) < 0 || admit(g, &err) < 0) {
        fail_request(g, &err);
        return;
    }
    if (g->match.operation && wire_streaming(g->match.operation->input)) {
        if (ask_first(g, &err) < 0 || start_upload(g, &err) < 0) {
            fail_request(g, &err);
            return;
        }
        x->body = stream_piece;
        x->body_end = stream_end;
        http_read(x);
        return;
    }
    http_read_all(x, BODY_MAX_BYTES, document_ready);
}

static void handle(struct gateway *gw, struct http_exchange *x, bool from_data_plane)
{
    struct passage *g;

    if (str_starts(x->head->target, "/_sagebrush/") && gw->options.local) {
        gw->options.local(gw->options.context, x);
        return;
    }
    g = passage_new(gw, x, from_data_plane);
    x->data = g;
    x->closed = closed;
    x->drained = drained;
    begin(g);
}

void gateway_handle(struct http_exchange *x, void *data)
{
    handle(data, x, true);
}

void gateway_handle_job(struct http_exchange *x, void *data)
{
    handle(data, x, false);
}

/* --- After the commit --- */

static void count(struct gateway *gw, const struct passage *g)
{
    request_counts_add(&gw->counts, g->match.service ? g->match.service->name : "unknown", g->response.status,
                       loop_now_ms(gw->options.loop) * 1000 - g->x->started_us);
}

static void answer(struct passage *g)
{
    struct http_header *headers = arena_array_of(g->arena, struct http_header, (size_t)g->response.header_count);
    struct str body = { g->response.body.data, g->response.body.size };

    for (int i = 0; i < g->response.header_count; i++)
        headers[i] = (struct http_header){ g->response.headers[i].name, g->response.headers[i].value };
    count(g->gateway, g);
    if (g->match.head && !g->failed) {
        /* The length that a GET would have. */
        http_answer_start(g->x, g->response.status, headers, (size_t)g->response.header_count,
                          doc_int(g->call.output, "ContentLength", 0));
        http_answer_end(g->x);
        return;
    }
    if (g->failed || !g->call.download) {
        http_answer(g->x, g->response.status, headers, (size_t)g->response.header_count, body);
        return;
    }
    http_answer_start(g->x, g->response.status, headers, (size_t)g->response.header_count,
                      g->download ? download_size_bytes(g->download) : 0);
    if (g->download)
        download_start(g->download);
    else
        http_answer_end(g->x);
}

void gateway_flush(struct gateway *gw, const struct err *failure)
{
    struct list held;

    if (failure)
        answers_forget(gw->answers);
    if (list_empty(&gw->held))
        return;
    /* An answer may bring the next request of its connection at once: that one belongs to the next turn. */
    held = gw->held;
    held.next->prev = held.prev->next = &held;
    list_init(&gw->held);
    while (!list_empty(&held)) {
        struct passage *g = list_entry(held.next, struct passage, link);

        list_remove(&g->link);
        if (failure && !g->failed) {
            struct err err = *failure;

            download_free(g->download);
            g->download = NULL;
            fail_request(g, &err);
            list_remove(&g->link);
        }
        upload_free(g->upload);
        g->upload = NULL;
        answer(g);
    }
}

bool gateway_waiting(const struct gateway *gw)
{
    return !list_empty(&gw->held);
}

void gateway_metrics(const struct gateway *gw, struct buf *b)
{
    request_counts_print(&gw->counts, b);
}

struct gateway *gateway_new(const struct gateway_options *options)
{
    struct gateway *gw = calloc(1, sizeof *gw);

    assert(gw && "out of memory");
    gw->options = *options;
    gw->signatures = sigv4_cache_new();
    gw->answers = answers_new(ANSWERS_MAX_BYTES);
    list_init(&gw->held);
    return gw;
}

void gateway_free(struct gateway *gw)
{
    if (!gw)
        return;
    sigv4_cache_free(gw->signatures);
    answers_free(gw->answers);
    free(gw);
}
