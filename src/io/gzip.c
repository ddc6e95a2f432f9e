#include "io/gzip.h"

#include <zlib.h>

bool gzip_all(struct str in, struct buf *out)
{
	z_stream z = {0};
	bool ok = false;
	char *room;
	size_t bound;

	if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	bound = deflateBound(&z, in.n);
	room = buf_room(out, bound);
	if (room) {
		z.next_in = (Bytef *)(uintptr_t)in.p;
		z.avail_in = (uInt)in.n;
		z.next_out = (Bytef *)room;
		z.avail_out = (uInt)bound;
		ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
		if (ok)
			out->n += z.total_out;
	}
	deflateEnd(&z);
	return ok;
}
