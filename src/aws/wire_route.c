/* wire_route.c - which operation a request asks for.
 *
 * A request tells its protocol in this order: X-Amz-Target (JSON), the path /service/X/operation/Y (CBOR), Action
 * (Query), else method, path and query by the routes of the REST services. The signing name says which services are
 * meant where several fit; without a signature every one is looked at, and what no route claims is S3's, for its paths
 * are anything. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "aws/protocols.h"

const struct str *wire_header(const struct wire_request *request, const char *name)
{
    size_t size = strlen(name);

    for (int i = 0; i < request->header_count; i++)
        if (request->headers[i].name.size == size && strncasecmp(request->headers[i].name.data, name, size) == 0)
            return &request->headers[i].value;
    return NULL;
}

static struct str header_or_empty(const struct wire_request *request, const char *name)
{
    const struct str *found = wire_header(request, name);

    return found ? *found : STR("");
}

static bool accepts(const struct service *s, enum protocol protocol)
{
    return s->protocols & 1 << protocol;
}

static bool may_be(const struct service *s, const char *signing_name)
{
    return *signing_name == '\0' || strcmp(s->signing_name, signing_name) == 0;
}

/* By the form's media type: "application/x-www-form-urlencoded; charset=utf-8" too. */
static bool is_form(const struct wire_request *request)
{
    static const char form[] = "application/x-www-form-urlencoded";
    struct str type = header_or_empty(request, "content-type");

    return type.size >= sizeof form - 1 && strncasecmp(type.data, form, sizeof form - 1) == 0;
}

bool wire_needs_body(const struct wire_request *request)
{
    return str_is(request->method, "POST") && is_form(request) && !wire_header(request, "x-amz-target");
}

static bool route_target(const struct str target, const char *signing_name, struct wire_match *ret)
{
    struct str prefix, name;

    if (!str_cut(target, '.', &prefix, &name))
        return false;
    for (const struct service *const *s = model_services; *s; s++)
        if ((*s)->target_prefix && str_is(prefix, (*s)->target_prefix) && accepts(*s, PROTOCOL_JSON)) {
            ret->service = *s;
            ret->operation = model_operation(*s, name);
            ret->operation_name = name;
            return true;
        }
    return false;
}

/* /service/GraniteServiceVersion20100801/operation/PutMetricData */
static bool route_cbor(struct str path, struct wire_match *ret)
{
    struct str words[4], rest = path, before;
    int count = 0;

    if (!str_cut(rest, '/', &before, &rest))
        return false;
    for (bool more = true; more && count < 4; count++) {
        more = str_cut(rest, '/', &words[count], &rest);
        if (!more)
            words[count] = rest;
    }
    if (count < 4 || !str_is(words[0], "service") || !str_is(words[2], "operation"))
        return false;
    ret->operation_name = words[3];
    for (const struct service *const *s = model_services; *s; s++)
        if ((*s)->target_prefix && str_is(words[1], (*s)->target_prefix) && accepts(*s, PROTOCOL_CBOR)) {
            ret->service = *s;
            ret->operation = model_operation(*s, words[3]);
        }
    return true;
}

/* Several services may have an operation of that name: the version decides, then who comes first. */
static bool route_action(const struct parameters *query, const struct parameters *form, const char *signing_name,
                         struct wire_match *ret)
{
    const struct str *action = parameter_find(query, "Action"), *version = parameter_find(query, "Version");
    const struct service *by_name = NULL, *by_version = NULL, *fits = NULL;

    action = action ? action : parameter_find(form, "Action");
    version = version ? version : parameter_find(form, "Version");
    if (!action)
        return false;
    for (const struct service *const *s = model_services; *s; s++) {
        bool same_version = version && str_is(*version, (*s)->api_version);

        if (!(accepts(*s, PROTOCOL_QUERY) || accepts(*s, PROTOCOL_EC2)) || !may_be(*s, signing_name))
            continue;
        if (model_operation(*s, *action)) {
            by_name = by_name ? by_name : *s;
            if (same_version)
                fits = fits ? fits : *s;
        }
        if (same_version || *signing_name)
            by_version = by_version ? by_version : *s;
    }
    ret->operation_name = *action;
    ret->service = fits ? fits : by_name ? by_name : by_version;
    if (ret->service) {
        ret->operation = model_operation(ret->service, *action);
        ret->protocol = accepts(ret->service, PROTOCOL_EC2) ? PROTOCOL_EC2 : PROTOCOL_QUERY;
    }
    return ret->service != NULL;
}

/* A form without an Action, or whose body was not read because its head was refused, or of a service that is not here:
 * the answer is a form's all the same. */
static void expect_action(const char *signing_name, struct wire_match *ret)
{
    ret->protocol = strcmp(signing_name, "ec2") == 0 ? PROTOCOL_EC2 : PROTOCOL_QUERY;
    for (const struct service *const *s = model_services; *s && *signing_name; s++)
        if (accepts(*s, PROTOCOL_QUERY) && may_be(*s, signing_name)) {
            ret->service = *s;
            return;
        }
}

/* The bucket of a host name, by our own names and Amazon's: "bucket.s3.us-west-2.amazonaws.com:443" */
static struct str bucket_of_host(const struct wire_request *request)
{
    static const char *const amazon[] = { ".amazonaws.com", ".amazonaws.com.cn" };
    struct str host = header_or_empty(request, "host"), without_port = host, port;

    if (str_cut(host, ':', &without_port, &port))
        host = without_port;
    for (const char *const *name = request->hosts; name && *name; name++) {
        size_t size = strlen(*name);

        if (host.size > size + 1 && host.data[host.size - size - 1] == '.' &&
            strncasecmp(host.data + host.size - size, *name, size) == 0)
            return (struct str){ host.data, host.size - size - 1 };
    }
    for (size_t i = 0; i < 2; i++) {
        if (!str_ends(host, amazon[i]))
            continue;
        /* The last ".s3." or ".s3-": a bucket's name may hold dots. */
        for (size_t at = host.size - strlen(amazon[i]) + 1; at-- > 1;)
            if (host.size - at > 4 && memcmp(host.data + at, ".s3", 3) == 0 &&
                (host.data[at + 3] == '.' || host.data[at + 3] == '-'))
                return (struct str){ host.data, at };
    }
    return (struct str){ 0 };
}

static bool query_fits(const struct route *route, const struct parameters *query)
{
    for (const char *const *literal = route->queries; *literal; literal++) {
        struct str name = str_of(*literal), value;
        bool valued = str_cut(name, '=', &name, &value), found = false;

        for (size_t i = 0; i < query->count && !found; i++)
            found = str_eq(query->items[i].name, name) && (!valued || str_eq(query->items[i].value, value));
        if (!found)
            return false;
    }
    return true;
}

static bool required_parts_there(const struct route *route, const struct parameters *query,
                                 const struct wire_request *request)
{
    for (const char *const *name = route->required_queries; *name; name++)
        if (!parameter_find(query, *name))
            return false;
    for (const char *const *name = route->required_headers; *name; name++)
        if (!wire_header(request, *name))
            return false;
    return true;
}

/* 'bucket': the host name took the first segment's place. */
static bool path_fits(const struct route *route, struct str path, bool bucket)
{
    struct str rest = path, segment;

    if (rest.size && rest.data[0] == '/')
        rest = (struct str){ rest.data + 1, rest.size - 1 };
    for (int i = 0; i < route->part_count; i++) {
        const struct route_part *part = &route->parts[i];

        if (i == 0 && bucket) {
            if (part->literal)
                return false;
            continue;
        }
        if (rest.size == 0)
            return false;
        if (part->greedy)
            return true;
        segment = rest;
        if (!str_cut(rest, '/', &segment, &rest))
            rest = STR("");
        if (segment.size == 0 || (part->literal && !str_is(segment, part->literal)))
            return false;
    }
    /* "/bucket/" is the bucket. */
    return rest.size == 0 && (route->part_count > 0 || !bucket);
}

/* The first route of a group with all its required parts, else the group's last. */
static const struct route *find_route(const struct service *s, const struct wire_request *request, struct str path,
                                      bool bucket, const struct parameters *query)
{
    const struct route *last = NULL;

    for (int i = 0; i < s->route_count; i++) {
        const struct route *route = &s->routes[i];

        if (last && route->group != last->group)
            break;
        if (!last &&
            !(str_is(request->method, route->method) && path_fits(route, path, bucket) && query_fits(route, query)))
            continue;
        last = route;
        if (required_parts_there(route, query, request))
            break;
    }
    return last;
}

static bool has_literals(const struct route *route)
{
    for (int i = 0; i < route->part_count; i++)
        if (route->parts[i].literal)
            return true;
    return false;
}

static void route_rest(const struct wire_request *request, const struct parameters *query, const char *signing_name,
                       struct wire_match *ret)
{
    const struct service *anything = NULL;

    for (const struct service *const *s = model_services; *s; s++) {
        bool xml = accepts(*s, PROTOCOL_REST_XML);
        struct str bucket = { 0 };
        const struct route *route;

        if ((!xml && !accepts(*s, PROTOCOL_REST_JSON)) || !may_be(*s, signing_name))
            continue;
        if (xml && strcmp((*s)->name, "s3") == 0)
            bucket = bucket_of_host(request);
        if (!anything || xml)
            anything = *s;
        route = find_route(*s, request, ret->path, bucket.size > 0, query);
        if (!route || (ret->route && !has_literals(route)))
            continue;
        ret->service = *s;
        ret->protocol = xml ? PROTOCOL_REST_XML : PROTOCOL_REST_JSON;
        ret->route = route;
        ret->bucket = bucket;
        ret->operation = route->operation;
        ret->operation_name = str_of(route->operation->name);
        if (has_literals(route))
            break;
    }
    if (!ret->service && anything) {
        ret->service = anything;
        ret->protocol = accepts(anything, PROTOCOL_REST_XML) ? PROTOCOL_REST_XML : PROTOCOL_REST_JSON;
    }
}

/* What a service that is not here would speak on its paths. */
static enum protocol unknown_rest(const char *signing_name)
{
    static const char *const xml[] = { "route53", "cloudfront", "s3-outposts" };

    for (size_t i = 0; i < sizeof xml / sizeof *xml; i++)
        if (strcmp(signing_name, xml[i]) == 0)
            return PROTOCOL_REST_XML;
    return PROTOCOL_REST_JSON;
}

struct wire_match wire_route(struct arena *a, const struct wire_request *request, const char *signing_name)
{
    const struct str *target = wire_header(request, "x-amz-target");
    struct wire_match match = { .protocol = PROTOCOL_JSON, .json_version = "1.1", .signing_name = signing_name };
    struct parameters query = { 0 }, form = { 0 };
    struct str path = request->target, text = STR("");

    str_cut(request->target, '?', &path, &text);
    match.path = path;
    match.head = str_is(request->method, "HEAD");
    match.query_mode = str_is_nocase(header_or_empty(request, "x-amzn-query-mode"), "true");
    if (target) {
        if (str_ends(header_or_empty(request, "content-type"), "1.0"))
            match.json_version = "1.0";
        if (!route_target(*target, signing_name, &match))
            match.operation_name = *target;
        return match;
    }
    if (wire_header(request, "smithy-protocol") && str_starts(path, "/service/") && route_cbor(path, &match)) {
        match.protocol = PROTOCOL_CBOR;
        return match;
    }
    query = parameters_parse(a, text);
    if (wire_needs_body(request))
        form = parameters_parse(a, request->body);
    if ((str_is(request->method, "POST") || str_is(request->method, "GET")) && str_is(path, "/") &&
        route_action(&query, &form, signing_name, &match))
        return match;
    route_rest(request, &query, signing_name, &match);
    if (match.service)
        return match;
    if (str_is(path, "/") && (wire_needs_body(request) || match.operation_name.size))
        expect_action(signing_name, &match);
    else if (*signing_name)
        match.protocol = unknown_rest(signing_name);
    return match;
}

static bool is_signing_name(const char *name)
{
    for (const struct service *const *s = model_services; *s; s++)
        if (strcmp((*s)->signing_name, name) == 0)
            return true;
    return false;
}

/* Where there is no service, whoever asked is told which one is not here. */
static int no_service(const struct wire_match *match, struct err *err)
{
    struct str what = match->operation_name, prefix;
    struct str path = { match->path.data, match->path.size < 200 ? match->path.size : 200 };

    /* "AWSGlue.GetDatabases" */
    while (str_cut(what, '.', &prefix, &what))
        ;
    what.size = what.size < 200 ? what.size : 200;
    fail_code(err, ERR_INVALID, "UnknownOperationException",
              "Sagebrush does not have the service %s (%s " STR_FMT " was asked for). `sagebrush operations` lists the "
              "services and operations that are here, `sagebrush operations --missing` the rest of theirs.",
              match->signing_name, what.size ? "operation" : "path", STR_ARG(what.size ? what : path));
    if (match->protocol == PROTOCOL_QUERY || match->protocol == PROTOCOL_EC2)
        snprintf(err->code, sizeof err->code, "InvalidAction");
    if (match->protocol == PROTOCOL_REST_XML || match->protocol == PROTOCOL_REST_JSON)
        err->http_status = 404;
    return -1;
}

int wire_unknown(const struct wire_match *match, struct err *err)
{
    const char *version = match->service ? match->service->api_version : "";
    bool named = match->signing_name && *match->signing_name;
    int size = match->operation_name.size < 200 ? (int)match->operation_name.size : 200;

    if (!match->service && named && !is_signing_name(match->signing_name))
        return no_service(match, err);
    fail_code(err, ERR_INVALID, "UnknownOperationException",
              "%.*s%sno service here has this operation: it is neither a known X-Amz-Target, Action nor path", size,
              match->operation_name.data ? match->operation_name.data : "", size ? ": " : "");
    if (match->protocol == PROTOCOL_QUERY || match->protocol == PROTOCOL_EC2)
        fail_code(err, ERR_INVALID, "InvalidAction", "Could not find operation %.*s for version %s", size,
                  match->operation_name.data ? match->operation_name.data : "", version);
    if (match->protocol == PROTOCOL_REST_XML) {
        fail_code(err, ERR_INVALID, "MethodNotAllowed", "The specified method is not allowed against this resource.");
        err->http_status = 405;
    }
    if (match->protocol == PROTOCOL_REST_JSON)
        err->http_status = 404;
    return -1;
}
