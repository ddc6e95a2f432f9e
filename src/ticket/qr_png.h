/*
 * A QR code as PNG, for wallets and mails that show no SVG: black on white, one bit a pixel, quiet zone included. Pure and
 * safe on any thread; a tenth of a millisecond.
 */
#ifndef TICKET_QR_PNG_H
#define TICKET_QR_PNG_H

#include "ticket/qr.h"

enum { QR_PNG_MODULE = 10 }; /* pixels a side of a module */

/* false when out's maximum was passed. */
bool qr_png(const struct qr *qr, struct buf *out);

#endif
