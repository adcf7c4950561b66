/* test_cases.c - the wire, case by case: bytes of a request in, the document out; a document in, bytes of an answer
 * out.
 *
 * A file holds cases, each made of sections that start with "--- " at the beginning of a line:
 *   --- request SIGNING-NAME   a request, as on the wire but with plain line ends; "-" is no signature. In the body
 * "\xHH" is a byte; line ends at its end do not belong to it
 *   --- decoded SERVICE OPERATION PROTOCOL    the input as JSON
 *   --- refused CODE           decoding or validation fails so; the text, or the start of it, follows
 *   --- unknown CODE           there is no such operation
 *   --- output                 an output as JSON, encoded next; blobs in base64
 *   --- error KIND CODE        an error, encoded next; its text follows
 *   --- response STATUS        the headers, an empty line, the body; headers that are not listed are not looked at
 * "===" and a title start a case. */
#include "aws/validate.h"
#include "aws/wire.h"
#include "base/fd.h"
#include "doc/json.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADERS_MAX = 64 };

struct reader {
    struct arena *arena;
    struct wire_request request;
    struct wire_match match;
    struct wire_response response;
    struct doc *input;
    struct err err;
    const char *file, *title;
    int failures;
};

static void complain(struct reader *r, const char *what, struct str expected, struct str got)
{
    r->failures++;
    printf("%s: %s: %s\n  expected: " STR_FMT "\n  got:      " STR_FMT "\n", r->file, r->title, what, STR_ARG(expected),
           STR_ARG(got));
}

static void compare(struct reader *r, const char *what, struct str expected, struct str got)
{
    if (!str_eq(expected, got))
        complain(r, what, expected, got);
}

static struct str next_line(struct str *rest)
{
    struct str line = *rest, after = STR("");

    if (!str_cut(*rest, '\n', &line, &after))
        line = *rest;
    *rest = after;
    return line;
}

static struct str next_word(struct str *rest)
{
    struct str word = *rest, after = STR("");

    if (!str_cut(*rest, ' ', &word, &after))
        word = *rest;
    *rest = after;
    return word;
}

static struct str bytes_of(struct arena *a, struct str text)
{
    char *out = arena_alloc(a, text.size + 1), *at = out;

    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '\\' && i + 3 < text.size && text.data[i + 1] == 'x' &&
            hex_decode(at, (struct str){ text.data + i + 2, 2 })) {
            at++;
            i += 3;
        } else {
            *at++ = text.data[i];
        }
    }
    return (struct str){ out, (size_t)(at - out) };
}

static void take_request(struct reader *r, struct str signing, struct str text)
{
    static const char *const hosts[] = { "sagebrush.test", NULL };
    struct sigv4_header *headers = arena_array_of(r->arena, struct sigv4_header, HEADERS_MAX);
    struct str line = next_line(&text);

    r->request = (struct wire_request){ .headers = headers, .hosts = hosts };
    r->request.method = next_word(&line);
    r->request.target = next_word(&line);
    while ((line = next_line(&text)).size > 0) {
        struct str name = STR(""), value = STR("");

        assert(str_cut(line, ':', &name, &value) && r->request.header_count < HEADERS_MAX);
        headers[r->request.header_count++] = (struct sigv4_header){ name, str_trim(value) };
    }
    r->request.body = bytes_of(r->arena, text);
    r->match = wire_route(r->arena, &r->request, str_is(signing, "-") ? "" : str_dup(r->arena, signing));
    r->err = (struct err){ 0 };
    r->input = NULL;
    if (!r->match.operation)
        wire_unknown(&r->match, &r->err);
    else if (wire_decode(r->arena, &r->match, &r->request, &r->input, &r->err) == 0)
        validate(r->arena, r->match.operation, r->input, &r->err);
}

static void see_decoded(struct reader *r, struct str words, struct str json)
{
    static const char *const protocols[] = { "json", "rest-json", "rest-xml", "query", "ec2", "cbor" };
    struct doc *expected;
    struct err err;

    if (r->err.kind) {
        complain(r, "refused", words, str_of(arena_printf(r->arena, "%s %s", r->err.code, r->err.text)));
        return;
    }
    compare(r, "service", next_word(&words), str_of(r->match.service->name));
    compare(r, "operation", next_word(&words), str_of(r->match.operation->name));
    compare(r, "protocol", next_word(&words), str_of(protocols[r->match.protocol]));
    if (json_parse(r->arena, json, &expected, &err) < 0)
        complain(r, "the case's JSON", json, str_of(err.text));
    else if (!doc_equal(expected, r->input) &&
             strcmp(json_text(r->arena, expected), json_text(r->arena, r->input)) != 0)
        complain(r, "input", json, str_of(json_text(r->arena, r->input)));
}

static void see_refused(struct reader *r, struct str code, struct str text)
{
    compare(r, "code", code, str_of(r->err.code));
    if (!text_starts(r->err.text, str_dup(r->arena, str_trim(text))))
        complain(r, "text", text, str_of(r->err.text));
}

static void bytes_of_base64(struct arena *a, const struct shape *shape, struct doc *d)
{
    if (d->type == DOC_MAP && shape->type == SHAPE_STRUCTURE)
        for (uint32_t i = 0; i < d->count; i++) {
            const struct member *m = model_member(shape, str_of(d->members[i].key));

            if (m)
                bytes_of_base64(a, m->shape, d->members[i].value);
        }
    else if (d->type == DOC_STRING && shape->type == SHAPE_BLOB && base64_decode(a, d->text, &d->text))
        d->type = DOC_BYTES;
}

static void take_output(struct reader *r, struct str json)
{
    struct doc *output;
    struct err err;

    if (json_parse(r->arena, json, &output, &err) < 0) {
        complain(r, "the case's JSON", json, str_of(err.text));
        return;
    }
    buf_free(&r->response.body);
    bytes_of_base64(r->arena, r->match.operation->output, output);
    wire_encode(r->arena, &r->match, output, 0, "REQUEST", &r->response);
}

static void take_error(struct reader *r, struct str words, struct str text)
{
    static const char *const kinds[] = { "none",  "invalid", "denied",      "not-found",
                                         "conflict", "limit", "unavailable", "internal" };
    struct err err = { 0 };
    struct str kind = next_word(&words);

    for (int i = 0; i < 8; i++)
        if (str_is(kind, kinds[i]))
            err.kind = (enum err_kind)i;
    snprintf(err.code, sizeof err.code, STR_FMT, STR_ARG(words));
    text = bytes_of(r->arena, text);
    snprintf(err.text, sizeof err.text, STR_FMT, STR_ARG(text));
    buf_free(&r->response.body);
    wire_encode_error(r->arena, &r->match, &err, NULL, "REQUEST", &r->response);
}

static void see_response(struct reader *r, struct str status, struct str text)
{
    struct str line;

    compare(r, "status", status, str_of(arena_printf(r->arena, "%d", r->response.status)));
    while ((line = next_line(&text)).size > 0) {
        struct str name = line, value = STR(""), got = STR("(none)");

        str_cut(line, ':', &name, &value);
        for (int i = 0; i < r->response.header_count; i++)
            if (str_is_nocase(r->response.headers[i].name, str_dup(r->arena, name)))
                got = r->response.headers[i].value;
        compare(r, str_dup(r->arena, name), str_trim(value), got);
    }
    compare(r, "body", bytes_of(r->arena, text),
            (struct str){ r->response.body.data ? r->response.body.data : "", r->response.body.size });
}

static void run_section(struct reader *r, struct str head, struct str text)
{
    struct str word = next_word(&head);

    while (text.size && text.data[text.size - 1] == '\n')
        text.size--;
    if (str_is(word, "request"))
        take_request(r, head, text);
    else if (str_is(word, "decoded"))
        see_decoded(r, head, text);
    else if (str_is(word, "refused") || str_is(word, "unknown"))
        see_refused(r, head, text);
    else if (str_is(word, "output"))
        take_output(r, text);
    else if (str_is(word, "error"))
        take_error(r, head, text);
    else if (str_is(word, "response"))
        see_response(r, head, text);
    else
        complain(r, "no such section", word, STR(""));
}

static int run_file(const char *path)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct reader r = { .arena = a, .file = path, .title = "" };
    struct str text, rest;
    struct err err;
    int cases = 0;

    if (file_read(a, path, 1 << 20, &text, &err) < 0) {
        printf("%s\n", err.text);
        return 1;
    }
    rest = text;
    while (rest.size > 0) {
        struct str line = next_line(&rest), body = rest;

        if (str_starts(line, "===")) {
            r.title = str_dup(a, str_trim((struct str){ line.data + 3, line.size - 3 }));
            cases++;
        }
        if (!str_starts(line, "--- "))
            continue;
        while (rest.size > 0 && !str_starts(rest, "--- ") && !str_starts(rest, "==="))
            next_line(&rest);
        body.size = rest.size > 0 ? (size_t)(rest.data - body.data) : body.size;
        run_section(&r, (struct str){ line.data + 4, line.size - 4 }, body);
    }
    buf_free(&r.response.body);
    printf("%s: %d cases, %d failures\n", path, cases, r.failures);
    return r.failures > 0 || cases == 0;
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (int i = 1; i < argc; i++)
        failed |= run_file(argv[i]);
    return failed;
}
