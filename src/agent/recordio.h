/* recordio.h - RecordIO framing: what RecordWrapperType wraps objects and attributes in. */
#ifndef AGENT_RECORDIO_H
#define AGENT_RECORDIO_H

#include "base/buf.h"
#include "base/str.h"

enum { RECORDIO_MAX_BYTES = (1 << 29) - 1 };

/* One record around the bytes, which are at most RECORDIO_MAX_BYTES. */
void recordio_wrap(struct buf *, struct str bytes);

#endif
