/* xid.h - what an error that a GPU reported ("XID 79") means for the work on it and for the GPU. */
#ifndef RUN_XID_H
#define RUN_XID_H

enum xid_effect {
    XID_PROGRAM, /* the program's own fault, and told to it: nothing to do */
    XID_NOTED,   /* the GPU has dealt with it: work goes on */
    XID_RESTART, /* what ran there is spoilt and has to start again; the GPU is good */
    XID_BROKEN,  /* the GPU cannot be relied on until somebody has looked at it */
};

struct xid {
    int number;
    enum xid_effect effect;
    const char *words;
};

/* A number that the table does not have is XID_BROKEN: better one GPU too few than a job on a bad one. */
const struct xid *xid_of(int number);

#endif
