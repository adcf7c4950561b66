/* call.h - one request to one operation, whoever makes it: a client over the wire, or a service of the house through
 * engine_call(). Both pass the same validation, the same policy and the same function. */
#ifndef ENGINE_CALL_H
#define ENGINE_CALL_H

#include "aws/model.h"
#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"

struct engine;
struct kind;

/* Who asks. */
struct principal {
    const char *account;       /* 12 digits */
    const char *arn; /* arn:aws:iam::A:user/NAME, arn:aws:iam::A:root, arn:aws:sts::A:assumed-role/ROLE/SESSION */
    const char *user_id;       /* AIDA..., AROA...:SESSION, or the account for root */
    const char *access_key_id; /* "" for the house itself */
    const struct doc *policies;       /* list of policy documents (maps) attached to the identity */
    const struct doc *session_policy; /* a session's own narrowing policy, NULL: none */
    bool trusted;                     /* the house itself and root: no policy is asked */
};

/* A body that came in as a stream: a blob already on disk, with what was measured on the way. */
enum upload_digest {
    UPLOAD_MD5 = 1,
    UPLOAD_SHA1 = 2,
    UPLOAD_SHA256 = 4,
    UPLOAD_CRC32 = 8,
    UPLOAD_CRC32C = 16,
    UPLOAD_CRC64NVME = 32,
};

struct upload {
    unsigned measured; /* the digests below that are filled in; MD5 is, unless the client needs none */
    enum upload_digest checksum;  /* the one to keep with the object: the client's choice, else CRC64NVME */
    bool checksum_stated;         /* the client sent its value, and it was right */
    const char *blob_uid;
    int64_t size_bytes;
    unsigned char md5[16], sha1[20], sha256[32];
    uint32_t crc32, crc32c;
    uint64_t crc64nvme;
};

/* A body that goes out as a stream: pieces of blobs, one after the other. */
struct download {
    struct piece {
        const char *blob_uid;
        int64_t offset, size_bytes;
    } *pieces;
    int piece_count;
};

struct call {
    struct engine *engine;
    struct arena *arena; /* lives until the answer was sent */
    const struct operation *operation;
    const struct principal *principal;
    const char *region;
    const char *request_id;
    const char *source_ip;
    bool tls;
    int64_t now_ms;            /* wall time, one for the whole call */
    const struct doc *input;   /* validated; defaults are not filled in */
    struct doc *output;        /* an empty map to fill */
    const struct upload *upload; /* of an operation with a streaming input, NULL otherwise */
    struct download *download;   /* to fill for a streaming output */
    /* The output tells of this row at this revision and of nothing else. NULL: it may depend on more. */
    const char *answer_uid;
    int64_t answer_revision;
    bool varies; /* the output has what no row says, and must not be kept */
    int http_status;             /* 0: the model's; for 206, 304 and the like */
    struct doc *extra_headers;   /* map of response headers that the model does not have; NULL: none */
    const struct doc *request_headers; /* of S3: map, lower-case names, for what the model lacks; NULL: none */
};

enum op_flag {
    OP_READS = 0,
    OP_WRITES = 1,   /* bracketed by store_begin and store_keep */
    OP_OPEN = 2,     /* no policy is asked: GetCallerIdentity */
};

/* What a generic verb does with the kind's row; run is called by OP_RUN only. */
enum op_verb { OP_RUN, OP_CREATE, OP_DESCRIBE, OP_LIST, OP_UPDATE, OP_DELETE, OP_STOP };

struct op {
    const char *name; /* of the model */
    int (*run)(struct call *, struct err *);
    enum op_verb verb;
    const struct kind *kind; /* of a generic verb */
    unsigned flags;
    const char *action;   /* IAM's, where it is not signing name + ":" + operation name */
    const char *resource; /* ARN with {Member} of the input, {region}, {account}; NULL: the kind's by name, else "*" */
    /* Asked before a streaming body is read, with everything but 'upload': refuses early what run would refuse, so that
     * nobody fills the disk without leave. Writes nothing. NULL: nothing can be said. */
    int (*admit)(struct call *, struct err *);
};

/* All operations of one model that are here; ops ends with an empty row. */
struct service_ops {
    const char *service; /* model_service() name */
    const struct op *ops;
};

#endif
