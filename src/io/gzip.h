/*
 * What is worth sending small. Owns nothing. Blocks for as long as it computes: for threads (io/offload.h), not for the loop.
 */
#ifndef IO_GZIP_H
#define IO_GZIP_H

#include "base/buf.h"

/* Appends in as one gzip stream (RFC 1952). False: out has no room for it, or zlib no memory; out is as it was. */
bool gzip_all(struct str in, struct buf *out);

#endif
