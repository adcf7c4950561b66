/* s3_impl.h - what the S3 client's files share. */
#ifndef AGENT_S3_IMPL_H
#define AGENT_S3_IMPL_H

#include "agent/s3.h"
#include "agent/transport.h"
#include "sign/sigv4.h"

struct s3 {
    struct s3_options options;
    struct transport *transport;
    struct sigv4_cache *cache;
};

/* One call, again and again while the server is away. 'what' is for the error. 'answer' is the caller's to free. */
int s3_call(struct s3 *, struct arena *, const struct transport_request *, struct str payload,
            struct transport_answer *answer, const char *what, struct err *err);

const char *s3_target(struct arena *, const char *bucket, const char *key, const char *query);

/* The text of the next <tag> element, and moves past it. */
bool s3_element(struct str *xml, const char *tag, struct str *ret);
struct str s3_unescape(struct arena *, struct str);

#endif
