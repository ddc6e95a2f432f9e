/*
 * Writes the three chunks such a picture needs (ISO/IEC 15948); zlib compresses and sums. cairo could too, but at 32 bits a
 * pixel, a hundred times slower, and would have to go to the thread pool.
 */
#include "ticket/qr_png.h"

#include "base/xmalloc.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void put_be32(uint8_t out[4], uint32_t v)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(v >> (24 - 8 * i));
}

static bool chunk(struct buf *out, const char type[4], const uint8_t *data, size_t n)
{
	uint8_t length[4], sum[4];
	uLong crc = crc32(0, (const Bytef *)type, 4);

	put_be32(length, (uint32_t)n);
	if (n)
		crc = crc32(crc, data, (uInt)n);
	put_be32(sum, (uint32_t)crc);
	return buf_add(out, length, 4) && buf_add(out, type, 4) && buf_add(out, data, n) && buf_add(out, sum, 4);
}

/* One line of pixels: the filter byte (none), then eight pixels a byte, 1 white; the bits past the edge stay 0. */
static void line(const struct qr *qr, int y, uint8_t *out, size_t bytes)
{
	int side = qr->size + 2 * QR_QUIET_ZONE;

	memset(out, 0, bytes);
	for (int px = 0; px < side * QR_PNG_MODULE; px++) {
		int x = px / QR_PNG_MODULE - QR_QUIET_ZONE;
		bool inside = x >= 0 && x < qr->size && y >= 0 && y < qr->size;

		if (!inside || !qr_dark(qr, x, y))
			out[1 + px / 8] |= (uint8_t)(0x80 >> px % 8);
	}
}

bool qr_png(const struct qr *qr, struct buf *out)
{
	int side = qr->size + 2 * QR_QUIET_ZONE;
	uint32_t pixels = (uint32_t)side * QR_PNG_MODULE;
	size_t bytes = 1 + (pixels + 7) / 8, raw_n = bytes * pixels;
	uint8_t header[13] = {[8] = 1}; /* one bit a pixel, grey, deflate, no interlace */
	uint8_t *raw = xmalloc(raw_n), *packed;
	uLongf packed_n = compressBound((uLong)raw_n);
	bool ok;

	for (uint32_t i = 0; i < pixels; i++) {
		if (i % QR_PNG_MODULE == 0)
			line(qr, (int)(i / QR_PNG_MODULE) - QR_QUIET_ZONE, raw + i * bytes, bytes);
		else
			memcpy(raw + i * bytes, raw + (i - 1) * bytes, bytes);
	}
	packed = xmalloc(packed_n);
	ok = compress2(packed, &packed_n, raw, (uLong)raw_n, 6) == Z_OK;
	put_be32(header, pixels);
	put_be32(header + 4, pixels);
	ok = ok && buf_add(out, "\x89PNG\r\n\x1a\n", 8) && chunk(out, "IHDR", header, sizeof(header)) &&
	     chunk(out, "IDAT", packed, packed_n) && chunk(out, "IEND", NULL, 0);
	free(raw);
	free(packed);
	return ok;
}
