/* serve.c - the model server of an endpoint.
 *
 * One process a granted core, all accepting on one socket, each a single loop: a prediction of one row takes less time
 * than handing it to another thread would. Only large requests go to a thread, so that /ping is answered meanwhile. */
#include "algo/serve.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "algo/container.h"
#include "algo/model_set.h"
#include "algo/request.h"
#include "algo/response.h"
#include "base/log.h"
#include "base/str.h"
#include "net/http_server.h"
#include "net/listener.h"
#include "net/loop.h"

#define DEFAULT_PAYLOAD_BYTES 6291456
#define MAX_PAYLOAD_BYTES 20971520
#define LARGE_BYTES 65536 /* beyond it a request goes to a thread */
#define DRAIN_MS 25000    /* the platform kills 30 s after SIGTERM */
#define MAX_WORKERS 256

struct server {
    struct model_set *models;
    struct response_options output;
    const char *default_accept;
    size_t payload_bytes;
    int workers;
    struct loop *loop;
    struct http_server *http;
};

struct answer {
    int status;
    enum accept accept;
    struct buf body; /* of an error: its text */
};

/* An invocation that is worked on in a thread; the exchange may be gone before it is done. */
struct job {
    struct server *server;
    struct http_exchange *exchange; /* NULL: the client left */
    struct buf body;
    char *content_type, *accept;
    struct answer answer;
};

static void refuse(struct answer *a, int status, const char *before, const struct err *why)
{
    a->status = status;
    buf_clear(&a->body);
    buf_printf(&a->body, "%s%s", before, why->text);
}

/* In the order in which the container looks at things. */
static void invoke(struct server *s, struct str content_type, struct str accept, struct str body, struct answer *ret)
{
    _cleanup_matrix_ struct matrix rows = { 0 };
    float few[64], *predictions = few;
    const char *format;
    struct err err = { 0 };
    size_t width = model_set_width(s->models);

    if (request_parse(content_type, body, &rows, &format, &err) < 0) {
        refuse(ret, 415, "", &err);
        return;
    }
    if (rows.rows * width > sizeof few / sizeof few[0])
        predictions = malloc(rows.rows * width * sizeof *predictions);
    assert(predictions);
    if (model_set_predict(s->models, &rows, format, predictions, &err) < 0) {
        refuse(ret, 400, "Unable to evaluate payload provided: ", &err);
    } else if (accept_parse(accept, s->default_accept, &ret->accept, &err) < 0) {
        refuse(ret, 406, "", &err);
    } else if (response_print(&ret->body, ret->accept, &s->output, predictions, rows.rows, width, &err) < 0) {
        refuse(ret, 500, "", &err);
    } else {
        ret->status = 200;
    }
    if (predictions != few)
        free(predictions);
}

static void send_answer(struct http_exchange *x, const struct answer *a)
{
    struct str type = a->status == 200 ? str_of(accept_content_type(a->accept)) : STR("text/html; charset=utf-8");

    if (a->status != 200)
        log_warning("invocation.refused", "status=%d reason=%s", a->status, log_quote(x->arena, a->body.data));
    http_answer(x, a->status, &(struct http_header){ STR("Content-Type"), type }, 1,
                (struct str){ a->body.data, a->body.size });
}

static void job_run(void *data)
{
    struct job *j = data;

    invoke(j->server, str_of(j->content_type), str_of(j->accept), (struct str){ j->body.data, j->body.size },
           &j->answer);
}

static void job_done(void *data)
{
    struct job *j = data;

    if (j->exchange) {
        j->exchange->data = NULL;
        send_answer(j->exchange, &j->answer);
    }
    buf_free(&j->body);
    buf_free(&j->answer.body);
    free(j->content_type);
    free(j->accept);
    free(j);
}

static void client_left(struct http_exchange *x, bool complete)
{
    struct job *j = x->data;

    (void)complete;
    if (j)
        j->exchange = NULL;
}

static char *text_of(struct str s)
{
    char *text = strndup(s.data ? s.data : "", s.size);

    assert(text);
    return text;
}

static void body_is_here(struct http_exchange *x, struct str body)
{
    struct server *s = x->data;
    struct str content_type = http_value(x->head, "content-type"), accept = http_value(x->head, "accept");

    if (!body.data && body.size) {
        http_answer_text(x, 413, "text/html; charset=utf-8", "The data value transmitted exceeds the capacity limit.");
        return;
    }
    if (body.size == 0) {
        http_answer(x, 204, NULL, 0, (struct str){ 0 });
        return;
    }
    if (body.size < LARGE_BYTES) {
        struct answer a = { 0 };

        invoke(s, content_type, accept, body, &a);
        send_answer(x, &a);
        buf_free(&a.body);
        return;
    }
    struct job *j = calloc(1, sizeof *j);
    assert(j);
    j->server = s;
    j->exchange = x;
    j->content_type = text_of(content_type);
    j->accept = text_of(accept);
    buf_append(&j->body, body.data, body.size);
    x->data = j;
    x->closed = client_left;
    loop_work(s->loop, job_run, job_done, j);
}

static void handle(struct http_exchange *x, void *data)
{
    struct server *s = data;
    struct str path = http_path(x->head);
    bool get = str_is(x->head->method, "GET") || str_is(x->head->method, "HEAD");
    bool known = true;

    if (str_is(path, "/ping") && get) {
        http_answer(x, 200, NULL, 0, (struct str){ 0 });
    } else if (str_is(path, "/invocations") && str_is(x->head->method, "POST")) {
        x->data = s;
        http_read_all(x, s->payload_bytes, body_is_here);
    } else if (str_is(path, "/execution-parameters") && get) {
        http_answer_text(x, 200, "application/json",
                         arena_printf(x->arena,
                                      "{\"MaxConcurrentTransforms\": %d, \"BatchStrategy\": \"MULTI_RECORD\", "
                                      "\"MaxPayloadInMB\": %zu}",
                                      s->workers, s->payload_bytes >> 20));
    } else {
        known = str_is(path, "/ping") || str_is(path, "/invocations") || str_is(path, "/execution-parameters");
        http_answer_text(x, known ? 405 : 404, "text/plain", known ? "Method Not Allowed\n" : "Not Found\n");
    }
}

static void drained(void *data)
{
    loop_stop(data);
}

static void on_stop(void *data, int number)
{
    struct server *s = data;

    log_info("serve.draining", "signal=%d connections=%d", number, http_server_connections(s->http));
    http_server_drain(s->http, DRAIN_MS, drained, s->loop);
}

/* What the supervising process waits for. Blocked from before the models are loaded: a thread of the library would
 * otherwise take a SIGTERM that comes early, with the default action. */
static void block_signals(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(how, &set, NULL);
}

static int work(struct server *s, int listening, struct err *err)
{
    if (loop_new(&s->loop, err) < 0)
        return -1;
    s->http = http_server_new(&(struct http_server_options){
        .loop = s->loop, .handle = handle, .data = s,
        .plain_from_anywhere = true, /* the address that was bound decides who reaches us */
        .idle_ms = 3600000 /* the data plane keeps its connections */ });
    if (loop_signal(s->loop, SIGTERM, on_stop, s, err) < 0 || loop_signal(s->loop, SIGINT, on_stop, s, err) < 0 ||
        http_server_listen_fd(s->http, listening, err) < 0)
        return -1;
    block_signals(SIG_UNBLOCK);
    loop_run(s->loop);
    http_server_free(s->http);
    loop_free(s->loop);
    return 0;
}

/* The processes that answer, and the one that looks after them. */

static pid_t spawn(struct server *s, int listening)
{
    struct err err = { 0 };
    pid_t parent = getpid(), pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(0);
    if (work(s, listening, &err) < 0) {
        log_error("serve.failed", "reason=%s", err.text);
        _exit(1);
    }
    model_set_free(s->models);
    _exit(0);
}

static int supervise(struct server *s, int listening, struct err *err)
{
    pid_t worker[MAX_WORKERS];
    bool stopping = false;
    int left = 0, number, status;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    for (int i = 0; i < s->workers; i++, left++)
        if ((worker[i] = spawn(s, listening)) < 0)
            return fail_errno(err, errno, "starting a worker");
    while (left > 0) {
        if (sigwait(&set, &number) != 0)
            continue;
        if (number != SIGCHLD && !stopping) {
            stopping = true;
            close(listening);
            for (int i = 0; i < s->workers; i++)
                if (worker[i] > 0)
                    kill(worker[i], SIGTERM);
        }
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
            for (int i = 0; i < s->workers; i++) {
                if (worker[i] != pid)
                    continue;
                worker[i] = 0;
                left--;
                if (stopping)
                    continue;
                log_warning("worker.ended", "pid=%d status=%d", (int)pid, status);
                nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL); /* not in a tight circle */
                if ((worker[i] = spawn(s, listening)) > 0)
                    left++;
            }
    }
    return stopping ? 0 : fail(err, ERR_INTERNAL, "no worker could be kept running");
}

static size_t size_setting(const char *name, size_t otherwise)
{
    int64_t v;

    return getenv(name) && str_to_int64(str_of(getenv(name)), &v) && v > 0 ? (size_t)v : otherwise;
}

static int run(struct server *s, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *ensemble = getenv("SAGEMAKER_INFERENCE_ENSEMBLE");
    size_t port = size_setting("SAGEMAKER_BIND_TO_PORT", 8080), workers;
    /* In a container everything that reaches us comes from the platform; a plain process on somebody's machine is
     * reached by that machine alone. */
    const char *address = strcmp(container_base(), "/opt/ml") == 0 ? "0.0.0.0" : "127.0.0.1";
    int listening, bound, rc;

    if (port > 65535)
        return fail(err, ERR_INVALID, "SAGEMAKER_BIND_TO_PORT is %zu: no such port", port);
    s->payload_bytes = size_setting("MAX_CONTENT_LENGTH", DEFAULT_PAYLOAD_BYTES);
    if (s->payload_bytes > MAX_PAYLOAD_BYTES)
        s->payload_bytes = MAX_PAYLOAD_BYTES;
    workers = size_setting("SAGEMAKER_NUM_MODEL_WORKERS", (size_t)container_cores());
    s->workers = workers > MAX_WORKERS ? MAX_WORKERS : (int)workers;
    s->default_accept = getenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT");
    if (model_set_load(arena_printf(a, "%s/model", container_base()),
                       !ensemble || str_is_nocase(str_of(ensemble), "true") || strcmp(ensemble, "1") == 0, &s->models,
                       err) < 0)
        return -1;
    s->output = (struct response_options){
        .selected = getenv("SAGEMAKER_INFERENCE_OUTPUT"),
        .batch = getenv("SAGEMAKER_BATCH") && *getenv("SAGEMAKER_BATCH"),
        .objective = model_set_objective(s->models),
        .classes = model_set_classes(s->models),
    };
    if (listen_tcp(address, (int)port, &listening, &bound, err) < 0) {
        model_set_free(s->models);
        return -1;
    }
    log_info("serve.ready", "address=%s port=%d workers=%d max_payload_bytes=%zu", address, bound, s->workers,
             s->payload_bytes);
    rc = s->workers == 1 ? work(s, listening, err) : supervise(s, listening, err);
    model_set_free(s->models);
    return rc;
}

int serve(void)
{
    struct server s = { 0 };
    struct err err = { 0 };

    log_setup("sagebrush-xgboost", LOG_INFO);
    block_signals(SIG_BLOCK);
    if (run(&s, &err) == 0)
        return 0;
    log_error("serve.failed", "reason=%s", err.text);
    return 1;
}
