/*
 * A letter, its tickets and its calendar entry become the bytes of a mail, and perhaps a file. Runs on the pool: nothing here is
 * anybody else's. Called by sender.c.
 */
#include "base/xmalloc.h"
#include "notify/notify_int.h"
#include "ticket/ticket_ics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 256 * 1024, ICS_MAX = 64 * 1024, PARTS_MAX = 2, NAME_MAX_BYTES = 80 };

struct composition *composition_new(struct letter *letter)
{
	struct composition *c = xcalloc(1, sizeof(*c));

	c->letter = letter;
	buf_init(&c->mail, MAIL_BYTES_MAX);
	return c;
}

void composition_free(void *arg)
{
	struct composition *c = arg;

	if (!c)
		return;
	letter_free(c->letter);
	ticket_document_free(c->tickets);
	buf_done(&c->mail);
	free(c);
}

static bool fail(struct composition *c, const char *what)
{
	snprintf(c->error, sizeof(c->error), "%s", what);
	return false;
}

/* Whole or not at all: whoever watches the folder never sees half a mail. The same mail has the same name, also when it is made
 * again. */
static bool write_file(struct composition *c)
{
	char temporary[4096];
	size_t done = 0;
	ssize_t n = 0;
	int fd;

	if (snprintf(temporary, sizeof(temporary), "%s.part", c->path) >= (int)sizeof(temporary))
		return fail(c, "mail-dir: the path is too long");
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		snprintf(c->error, sizeof(c->error), "mail-dir: %s", strerror(errno));
		return false;
	}
	while (done < c->mail.n && (n = write(fd, c->mail.p + done, c->mail.n - done)) >= 0)
		done += (size_t)n;
	if (n < 0 || close(fd) != 0 || rename(temporary, c->path) != 0) {
		snprintf(c->error, sizeof(c->error), "mail-dir: %s", strerror(errno));
		if (n < 0)
			close(fd);
		unlink(temporary);
		return false;
	}
	return true;
}

/* References are capitals, digits and a dash; nothing else may come into a file's name. */
static void file_name(const char *what, const char *reference, const char *ending, char out[NAME_MAX_BYTES])
{
	char safe[32];
	size_t n = 0;

	for (const char *p = reference; *p && n < sizeof(safe) - 1; p++)
		if ((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-')
			safe[n++] = *p;
	safe[n] = '\0';
	snprintf(out, NAME_MAX_BYTES, "%s%s%s.%s", what, n ? "-" : "", safe, ending);
}

static bool compose(struct composition *c, struct buf texts[LETTER_PARTS], struct buf *pdf, struct buf *ics)
{
	char pdf_name[NAME_MAX_BYTES], ics_name[NAME_MAX_BYTES], error[160];
	struct mail_part parts[PARTS_MAX];
	struct error e = {0};
	struct mail_message m = {.from_name = str_from(c->from_name),
				 .to_name = str_from(c->letter->values[LETTER_name]),
				 .from = &c->from,
				 .to = &c->to,
				 .date_us = c->date_us,
				 .message_id = c->message_id,
				 .parts = parts};

	for (int i = 0; i < LETTER_PARTS; i++)
		if (!letter_render(c->letter, (enum letter_part)i, &texts[i], error)) {
			snprintf(c->error, sizeof(c->error), "the template: %s", error);
			return false;
		}
	m.subject = buf_str(&texts[LETTER_SUBJECT]);
	m.text = buf_str(&texts[LETTER_TEXT]);
	m.html = buf_str(&texts[LETTER_HTML]);
	if (c->tickets) {
		if (!ticket_pdf_render(c->tickets, pdf, &e))
			return fail(c, "the tickets could not be drawn");
		file_name("tickets", c->reference, "pdf", pdf_name);
		parts[m.n_parts++] = (struct mail_part){"application/pdf", pdf_name, buf_str(pdf)};
	}
	if (c->calendar.summary) {
		struct ticket_ics entry = {c->calendar.id,	     c->calendar.sequence, c->calendar.now_us,
					   c->calendar.starts_at_us, c->calendar.summary,  c->calendar.location,
					   c->calendar.description};

		if (!ticket_ics(&entry, ics))
			return fail(c, "the calendar entry is too long");
		file_name("show", c->reference, "ics", ics_name);
		parts[m.n_parts++] =
			(struct mail_part){"text/calendar; charset=utf-8; method=PUBLISH", ics_name, buf_str(ics)};
	}
	if (!mail_message_build(&m, &c->mail))
		return fail(c, "the mail is larger than mails may be");
	return !c->path || write_file(c);
}

void composition_run(void *arg)
{
	struct composition *c = arg;
	struct buf texts[LETTER_PARTS], pdf, ics;

	for (int i = 0; i < LETTER_PARTS; i++)
		buf_init(&texts[i], TEXT_MAX);
	buf_init(&pdf, c->tickets ? c->tickets->n_seats * TICKET_PDF_PAGE_MAX : 1);
	buf_init(&ics, ICS_MAX);
	c->ok = compose(c, texts, &pdf, &ics);
	for (int i = 0; i < LETTER_PARTS; i++)
		buf_done(&texts[i]);
	buf_done(&pdf);
	buf_done(&ics);
}
