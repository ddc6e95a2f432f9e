/*
 * The only user of libqrencode. Owns nothing, keeps no state. Called by the ticket pages, the PDF and the mails.
 */
#include "ticket/qr.h"

#include <qrencode.h>
#include <string.h>

bool qr_encode(struct str text, struct qr *ret)
{
	char copy[QR_TEXT_MAX + 1];
	QRcode *code;

	if (text.n == 0 || text.n > QR_TEXT_MAX || memchr(text.p, '\0', text.n))
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	/* QR_MODE_8 is the mode of last resort: digits and upper-case letters still get their shorter modes */
	code = QRcode_encodeString(copy, 0, QR_ECLEVEL_M, QR_MODE_8, 1);
	if (!code)
		return false;
	ret->size = code->width;
	for (int i = 0; i < code->width * code->width; i++)
		ret->dark[i] = code->data[i] & 1;
	QRcode_free(code);
	return true;
}

static void add_xml_text(struct buf *out, struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c == '&')
			buf_adds(out, "&amp;");
		else if (c == '<')
			buf_adds(out, "&lt;");
		else if (c == '>')
			buf_adds(out, "&gt;");
		else if (c < 0x20 || c == 0x7f)
			buf_addc(out, ' ');
		else if (c == 0xef && text.n - i >= 3 && (unsigned char)text.p[i + 1] == 0xbf &&
			 (unsigned char)text.p[i + 2] >= 0xbe) {
			buf_adds(out, "\xef\xbf\xbd"); /* U+FFFE and U+FFFF may not stand in XML */
			i += 2;
		} else
			buf_addc(out, (char)c);
	}
}

bool qr_svg(const struct qr *qr, struct str title, struct buf *out)
{
	int side = qr->size + 2 * QR_QUIET_ZONE;

	buf_addf(out,
		 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
		 "role=\"img\" "
		 "shape-rendering=\"crispEdges\"><title>",
		 side, side, side * 6, side * 6);
	add_xml_text(out, title);
	buf_addf(out, "</title><path fill=\"#fff\" d=\"M0 0h%dv%dH0z\"/><path d=\"", side, side);
	for (int y = 0; y < qr->size; y++)
		for (int x = 0, end; x < qr->size; x = end + 1) {
			for (end = x; end < qr->size && qr_dark(qr, end, y); end++)
				;
			if (end > x)
				buf_addf(out, "M%d %dh%dv1H%dz", x + QR_QUIET_ZONE, y + QR_QUIET_ZONE, end - x,
					 x + QR_QUIET_ZONE);
		}
	buf_adds(out, "\"/></svg>\n");
	return !out->failed;
}
