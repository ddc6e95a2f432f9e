/*
 * QR codes as a matrix of modules (for the PDF) and as SVG (for the web). Pure and safe on any thread.
 */
#ifndef TICKET_QR_H
#define TICKET_QR_H

#include "base/buf.h"

enum {
	QR_QUIET_ZONE = 4,  /* light modules on every side; ISO/IEC 18004 wants four */
	QR_SIZE_MAX = 177,  /* modules a side of the largest code */
	QR_TEXT_MAX = 1024, /* more would make modules too small to print on a ticket */
};

struct qr {
	int size;				 /* modules a side, without the quiet zone */
	uint8_t dark[QR_SIZE_MAX * QR_SIZE_MAX]; /* row by row, `size` a row: 1 dark, 0 light */
};

static inline bool qr_dark(const struct qr *qr, int x, int y)
{
	return qr->dark[y * qr->size + x];
}

/* Error correction M: 15 % may be lost, which is a fold or a coffee ring. false: empty, too long, or a NUL inside. */
bool qr_encode(struct str text, struct qr *ret);

/* An <svg> that scales to any size: one path, crisp edges, quiet zone, black on white. title is what a screen reader
 * says (UTF-8, escaped here; control characters become blanks). false when out's maximum was passed. */
bool qr_svg(const struct qr *qr, struct str title, struct buf *out);

#endif
