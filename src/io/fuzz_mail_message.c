/* What anybody may write into a name, a subject, an address, a text: six parts separated by NUL. Headers stay the eight there are,
 * lines stay short, and the boundaries are what this program wrote. */
#include "io/mail_message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS = 6, HEADERS = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_lines(const char *p, size_t n, size_t head)
{
	size_t at = 0, headers = 0, boundaries = 0;

	while (at < n) {
		const char *end = memmem(p + at, n - at, "\r\n", 2);
		size_t length;

		assert(end); /* every line is ended */
		length = (size_t)(end - p) - at;
		assert(length <= 900 && !memchr(p + at, '\n', length) && !memchr(p + at, '\r', length));
		if (at < head) {
			assert(length > 0);
			headers += p[at] != ' ';
			assert(length <= 78 || memchr(p + at, '@', length));
			for (size_t i = 0; i < length; i++)
				assert((unsigned char)p[at + i] >= ' ' && p[at + i] != 0x7F);
		} else if (length > 4 && memcmp(p + at, "--=_", 4) == 0) {
			boundaries++;
		}
		at += length + 2;
	}
	assert(headers == HEADERS);
	assert(boundaries == 6); /* mixed; alternative twice, its end; the attachment, its end */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str parts[PARTS] = {{0}}, rest = {(const char *)data, n};
	struct mail_part attachment = {"text/calendar; charset=utf-8", "show-1.ics", STR("x")};
	struct mail_address from, to, read;
	struct mail_message m = {
		.from = &from, .to = &to, .message_id = "<0198@boxoffice>", .parts = &attachment, .n_parts = 1};
	struct buf out;
	struct str name;
	const char *end;

	for (int i = 0; i < PARTS; i++)
		rest = str_split(rest, '\0', &parts[i]);
	assert(!mail_address_read(STR("from@example.org"), &from));
	if (mail_address_read(parts[0], &to))
		assert(!mail_address_read(STR("to@example.org"), &to));
	assert(!strpbrk(to.text, "\r\n") && strrchr(to.text, '@') && strlen(to.text) < MAIL_ADDRESS_MAX);
	if (!mail_mailbox_read(parts[1], &name, &read))
		assert(!memchr(name.p ? name.p : "", '\n', name.n));
	m.from_name = parts[1];
	m.to_name = parts[2];
	m.subject = parts[3];
	m.text = parts[4];
	m.html = parts[5];
	attachment.bytes = rest.p ? rest : STR("");
	buf_init(&out, 10 * n + 10000);
	assert(mail_message_build(&m, &out));
	end = memmem(out.p, out.n, "\r\n\r\n", 4);
	assert(end);
	check_lines(out.p, out.n, (size_t)(end - out.p) + 2);
	buf_done(&out);
	return 0;
}
