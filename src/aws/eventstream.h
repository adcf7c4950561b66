/* eventstream.h - messages of application/vnd.amazon.eventstream: what a streaming answer is made of.
 *
 * A message is a prelude (total length, length of the headers, CRC32 of both), headers, payload and a CRC32 of all
 * that, big-endian. Only writing: nothing here takes such a stream in. */
#ifndef AWS_EVENTSTREAM_H
#define AWS_EVENTSTREAM_H

#include "base/buf.h"
#include "base/str.h"

enum { EVENTSTREAM_PAYLOAD_MAX_BYTES = 16 * 1024 * 1024 }; /* cut a longer payload into several events */

/* An event of a union's member: eventstream_event(b, "PayloadPart", "application/octet-stream", bytes). */
void eventstream_event(struct buf *, const char *type, const char *content_type, struct str payload);

/* The stream's bad end. 'payload' is the exception's members as JSON. Nothing may follow it. */
void eventstream_exception(struct buf *, const char *type, struct str payload);

#endif
