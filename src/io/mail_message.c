/*
 * Owns nothing. Called by the sender of notifications (src/notify), on the pool; by its fuzz target.
 *
 *   multipart/mixed          left out without attachments
 *     multipart/alternative
 *       text/plain, text/html      quoted-printable; base64 when most of it is not ASCII
 *     attachments                  base64
 *
 * The boundaries begin with "=_", which neither encoding can bring forth.
 */
#include "io/mail_message.h"

#include "base/times.h"

#include <assert.h>
#include <idn2.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 76, WORD_BYTES = 39, LOCAL_MAX = 64, DOMAIN_MAX = 253, BOUNDARY_MAX = 40 };

/* ---- characters ---- */

/* The next character as it may stand in a header: *ret_c points to its bytes, or to a constant. Returns how many bytes of s it was. */
static size_t next_character(struct str s, struct str *ret_c)
{
	static const char replacement[] = "\xEF\xBF\xBD";
	size_t n = str_utf8_sequence(s);
	unsigned char c = (unsigned char)s.p[0], d = n > 1 ? (unsigned char)s.p[1] : 0,
		      e = n > 2 ? (unsigned char)s.p[2] : 0;

	*ret_c = (struct str){s.p, n};
	if (n == 0) {
		*ret_c = (struct str){replacement, 3};
		return 1;
	}
	if (c < 0x20 || c == 0x7F || (c == 0xC2 && d < 0xA0))
		*ret_c = STR(" "); /* C0, DEL, C1 */
	else if (c == 0xE2 && d == 0x80 && (e == 0xA8 || e == 0xA9))
		*ret_c = STR(" "); /* line and paragraph separator */
	else if (c == 0xE2 && ((d == 0x80 && (e == 0x8E || e == 0x8F || (e >= 0xAA && e <= 0xAE))) ||
			       (d == 0x81 && e >= 0xA6 && e <= 0xA9)))
		*ret_c = STR(""); /* U+200E, U+200F, U+202A..202E, U+2066..2069: they would turn what follows */
	return n;
}

static bool is_atext(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* ---- encodings ---- */

static void base64(struct buf *out, struct str in, bool lines)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t at = 0;

	for (size_t i = 0; i < in.n; i += 3) {
		size_t n = in.n - i < 3 ? in.n - i : 3;
		const unsigned char *p = (const unsigned char *)in.p + i;
		unsigned bits = (unsigned)p[0] << 16 | (n > 1 ? (unsigned)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);
		char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63], n > 1 ? digits[bits >> 6 & 63] : '=',
				n > 2 ? digits[bits & 63] : '='};

		if (lines && at == LINE) {
			buf_adds(out, "\r\n");
			at = 0;
		}
		buf_add(out, four, 4);
		at += 4;
	}
	if (lines && at)
		buf_adds(out, "\r\n");
}

/* Lines of text; every end of a line (\n, \r\n, a lone \r) becomes CR LF, and the last has one. */
static void quoted_printable(struct buf *out, struct str in)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t at = 0;

	for (size_t i = 0; i < in.n; i++) {
		unsigned char c = (unsigned char)in.p[i];
		bool last = i + 1 == in.n || in.p[i + 1] == '\n' || in.p[i + 1] == '\r', plain;

		if (c == '\r' && i + 1 < in.n && in.p[i + 1] == '\n')
			continue;
		if (c == '\n' || c == '\r') {
			buf_adds(out, "\r\n");
			at = 0;
			continue;
		}
		plain = (c > ' ' && c < 0x7F && c != '=') || ((c == ' ' || c == '\t') && !last);
		if (at + (plain ? 1 : 3) > LINE - 1) {
			buf_adds(out, "=\r\n");
			at = 0;
		}
		if (plain) {
			buf_addc(out, (char)c);
			at++;
		} else {
			char three[3] = {'=', hex[c >> 4], hex[c & 15]};

			buf_add(out, three, 3);
			at += 3;
		}
	}
	if (at)
		buf_adds(out, "\r\n");
}

/* RFC 2047: words of whole characters, one a line. */
static void encoded_words(struct buf *out, struct str text)
{
	char bytes[WORD_BYTES];
	size_t n = 0;
	bool first = true;

	while (text.n || n) {
		struct str c = STR("");
		size_t used = text.n ? next_character(text, &c) : 0;

		if (n + c.n > sizeof(bytes) || used == 0) {
			buf_adds(out, first ? "=?UTF-8?B?" : "\r\n =?UTF-8?B?");
			base64(out, (struct str){bytes, n}, false);
			buf_adds(out, "?=");
			first = false;
			n = 0;
			if (used == 0)
				return;
		}
		memcpy(bytes + n, c.p, c.n);
		n += c.n;
		text.p += used;
		text.n -= used;
	}
}

/* Fits as it is on the rest of a header's line. */
static bool is_plain(struct str s, size_t room)
{
	if (s.n > room || (s.n && (s.p[0] == ' ' || s.p[s.n - 1] == ' ')))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] >= 0x7F ||
		    (s.p[i] == '=' && i + 1 < s.n && s.p[i + 1] == '?'))
			return false;
	return true;
}

static void header_text(struct buf *out, const char *name, struct str text)
{
	buf_addf(out, "%s: ", name);
	if (is_plain(text, LINE - strlen(name) - 2))
		buf_addstr(out, text);
	else
		encoded_words(out, text);
	buf_adds(out, "\r\n");
}

static bool is_blank(struct str s)
{
	struct str c;

	for (size_t used; s.n; s.p += used, s.n -= used) {
		used = next_character(s, &c);
		if (c.n && !str_eqc(c, " "))
			return false;
	}
	return true;
}

static void header_mailbox(struct buf *out, const char *name, struct str phrase, const struct mail_address *address)
{
	bool atoms = true;

	buf_addf(out, "%s: ", name);
	if (is_blank(phrase)) {
		buf_addf(out, "%s\r\n", address->text);
		return;
	}
	if (is_plain(phrase, LINE / 2)) {
		for (size_t i = 0; i < phrase.n; i++)
			atoms &= is_atext((unsigned char)phrase.p[i]) || phrase.p[i] == ' ';
		if (!atoms)
			buf_addc(out, '"');
		for (size_t i = 0; i < phrase.n; i++) {
			if (phrase.p[i] == '"' || phrase.p[i] == '\\')
				buf_addc(out, '\\');
			buf_addc(out, phrase.p[i]);
		}
		if (!atoms)
			buf_addc(out, '"');
	} else {
		encoded_words(out, phrase);
	}
	/* on a line of its own: who reads the name of somebody sees the address */
	buf_addf(out, "\r\n <%s>\r\n", address->text);
}

static void header_date(struct buf *out, int64_t us)
{
	static const char *const days[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"}; /* 1970-01-01 was one */
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	int64_t s = us > 0 ? us / US_PER_SECOND : 0, day = s / 86400, year;
	int month, date, in_day = (int)(s % 86400);

	civil_from_days(day, &year, &month, &date);
	buf_addf(out, "Date: %s, %d %s %04d %02d:%02d:%02d +0000\r\n", days[day % 7], date, months[month - 1],
		 (int)year, in_day / 3600, in_day / 60 % 60, in_day % 60);
}

/* ---- the whole ---- */

static void boundary_make(const char *message_id, char kind, char out[BOUNDARY_MAX])
{
	size_t n = 0;

	out[n++] = '=';
	out[n++] = '_';
	out[n++] = kind;
	for (const char *p = message_id; *p && n < BOUNDARY_MAX - 1; p++)
		if ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9'))
			out[n++] = *p;
	out[n] = '\0';
}

static void add_text(struct buf *out, const char *boundary, const char *type, struct str text)
{
	size_t beyond = 0;
	struct buf lines;
	bool words;

	for (size_t i = 0; i < text.n; i++)
		beyond += (unsigned char)text.p[i] >= 0x80;
	words = beyond * 4 <= text.n;
	buf_addf(out, "--%s\r\nContent-Type: %s; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n", boundary,
		 type, words ? "quoted-printable" : "base64");
	if (words) {
		quoted_printable(out, text);
		return;
	}
	/* what is encoded has the ends of lines that text has on its way */
	buf_init(&lines, 2 * text.n + 1);
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\n' && (i == 0 || text.p[i - 1] != '\r'))
			buf_addc(&lines, '\r');
		buf_addc(&lines, text.p[i]);
	}
	base64(out, buf_str(&lines), true);
	buf_done(&lines);
}

static void add_part(struct buf *out, const char *boundary, const struct mail_part *part)
{
	for (const char *p = part->name; *p; p++)
		assert(is_atext((unsigned char)*p) || *p == '.');
	buf_addf(out,
		 "--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: base64\r\n"
		 "Content-Disposition: attachment; filename=\"%s\"\r\n\r\n",
		 boundary, part->type, part->name);
	base64(out, part->bytes, true);
}

bool mail_message_build(const struct mail_message *m, struct buf *out)
{
	char mixed[BOUNDARY_MAX], alternative[BOUNDARY_MAX];

	boundary_make(m->message_id, 'm', mixed);
	boundary_make(m->message_id, 'a', alternative);
	header_date(out, m->date_us);
	header_mailbox(out, "From", m->from_name, m->from);
	header_mailbox(out, "To", m->to_name, m->to);
	header_text(out, "Subject", m->subject);
	buf_addf(out, "Message-ID: %s\r\n", m->message_id);
	/* RFC 3834: no holiday notice comes back */
	buf_adds(out, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n");
	if (m->n_parts)
		buf_addf(out, "Content-Type: multipart/mixed;\r\n boundary=\"%s\"\r\n\r\n--%s\r\n", mixed, mixed);
	buf_addf(out, "Content-Type: multipart/alternative;\r\n boundary=\"%s\"\r\n\r\n", alternative);
	add_text(out, alternative, "text/plain", m->text);
	add_text(out, alternative, "text/html", m->html);
	buf_addf(out, "--%s--\r\n", alternative);
	for (size_t i = 0; i < m->n_parts; i++)
		add_part(out, mixed, &m->parts[i]);
	if (m->n_parts)
		buf_addf(out, "--%s--\r\n", mixed);
	return !out->failed;
}

/* ---- addresses ---- */

/* Labels of letters, digits and hyphens. */
static bool domain_is_sound(char *domain)
{
	size_t label = 0, n = strlen(domain);

	if (n == 0 || n > DOMAIN_MAX)
		return false;
	for (size_t i = 0; i <= n; i++) {
		char c = domain[i];

		if (c == '.' || c == '\0') {
			if (label == 0 || label > 63 || domain[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (c >= 'A' && c <= 'Z')
			domain[i] = c = (char)(c + 32);
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && label)))
			return false;
		label++;
	}
	return true;
}

const char *mail_address_read(struct str address, struct mail_address *ret)
{
	const char *at = address.n ? memrchr(address.p, '@', address.n) : NULL;
	char domain[DOMAIN_MAX * 4 + 1], *ascii = NULL;
	struct str local, c;
	bool atoms = true;
	size_t n = 0;

	memset(ret, 0, sizeof(*ret));
	if (!at)
		return "it has no @";
	local = (struct str){address.p, (size_t)(at - address.p)};
	address.n -= local.n + 1;
	if (local.n == 0 || local.n > LOCAL_MAX)
		return "the part before the @ is empty or longer than 64 bytes";
	if (address.n >= sizeof(domain))
		return "the domain is too long";
	for (size_t i = 0; i < local.n;) {
		struct str rest = {local.p + i, local.n - i};
		size_t used = next_character(rest, &c);

		if (c.n != used || memcmp(c.p, rest.p, used) != 0)
			return "the part before the @ has characters that no address has";
		if (used > 1)
			ret->utf8 = true;
		else if (*rest.p == '.')
			atoms &= i > 0 && i + 1 < local.n && local.p[i - 1] != '.';
		else
			atoms &= is_atext((unsigned char)*rest.p);
		i += used;
	}
	memcpy(domain, at + 1, address.n);
	domain[address.n] = '\0';
	if (strlen(domain) != address.n ||
	    idn2_to_ascii_8z(domain, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK ||
	    !domain_is_sound(ascii)) {
		idn2_free(ascii);
		return "the domain is none";
	}
	if (!atoms)
		ret->text[n++] = '"';
	for (size_t i = 0; i < local.n; i++) {
		if (local.p[i] == '"' || local.p[i] == '\\')
			ret->text[n++] = '\\';
		ret->text[n++] = local.p[i];
	}
	if (!atoms)
		ret->text[n++] = '"';
	ret->text[n++] = '@';
	memcpy(ret->text + n, ascii, strlen(ascii) + 1);
	ret->domain = ret->text + n;
	idn2_free(ascii);
	return NULL;
}

const char *mail_mailbox_read(struct str text, struct str *ret_name, struct mail_address *ret)
{
	const char *open;

	text = str_trim(text);
	*ret_name = STR("");
	if (text.n && text.p[text.n - 1] == '>') {
		open = memrchr(text.p, '<', text.n);
		if (!open)
			return "it has a > but no <";
		*ret_name = str_trim((struct str){text.p, (size_t)(open - text.p)});
		if (ret_name->n >= 2 && ret_name->p[0] == '"' && ret_name->p[ret_name->n - 1] == '"')
			*ret_name = (struct str){ret_name->p + 1, ret_name->n - 2};
		text = (struct str){open + 1, text.n - (size_t)(open - text.p) - 2};
	}
	if (!str_utf8_valid(*ret_name) || str_utf8_length(*ret_name) > 100)
		return "the name is no UTF-8 or longer than 100 characters";
	for (size_t i = 0; i < ret_name->n; i++)
		if ((unsigned char)ret_name->p[i] < 0x20 || strchr("<>\"\\", ret_name->p[i]))
			return "the name has characters that no name has";
	return mail_address_read(text, ret);
}
