/*
 * Tickets as a PDF, one A4 page each. A pure function on copied input, safe on any thread, made for io/offload: some
 * milliseconds a document, the first one of a process a tenth of a second (it loads fonts). Calls may block on each other:
 * a process draws one document at a time, see pdf.c. Not to be called in a process that forks afterwards. Nothing is read
 * but fonts and time zones; the same document gives the same bytes.
 *
 *	struct ticket_document *d = ticket_document_new();
 *	d->event_name = arena_strdup(&d->arena, ...);       every string lives in d->arena or is constant
 *	...
 *	struct ticket_pdf_job *job = ticket_pdf_job_new(d); owns d
 *	offload_start(pool, ticket_pdf_job_run, job, ticket_pdf_job_free, done, arg);   done: job->ok, job->pdf
 */
#ifndef TICKET_PDF_H
#define TICKET_PDF_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/money.h"

enum {
	TICKET_DOCUMENT_SEATS_MAX = 100,
	TICKET_PDF_PAGE_MAX = 256 * 1024, /* 20 KB are usual, 160 KB with Chinese; nearly all fonts */
};

/* Strings are well-formed UTF-8 of any length and script; NULL or "" leaves the field out. Control characters become
 * blanks; what does not fit its place is made smaller, then wrapped, then ends in an ellipsis. */
struct ticket_document_seat {
	const char *zone, *row, *seat, *category;
	int32_t category_rgb; /* 0xRRGGBB; -1: none */
	bool accessible;
	struct money price; /* currency NULL: no price is shown */
	const char *code;   /* of ticket_code_make; required */
};

struct ticket_document {
	struct arena arena;
	const char *locale; /* of the buyer; labels, date and price follow it */
	const char *event_name, *organizer_name;
	const char *venue_name, *venue_address; /* the address may have several lines */
	const char *timezone;			/* of the venue; required */
	const char *buyer_name, *reference, *terms;
	int64_t starts_at_us, doors_at_us; /* doors_at_us 0: not shown */
	int64_t issued_at_us;
	struct ticket_document_seat *seats;
	size_t n_seats;
};

struct ticket_document *ticket_document_new(void);
void ticket_document_free(struct ticket_document *d); /* NULL is fine */

/* out needs a maximum of about TICKET_PDF_PAGE_MAX a ticket. false with ERR_INVALID_VALUE (unknown zone, a code that is
 * none, no or too many seats) or ERR_INTERNAL (no memory, out too small). */
bool ticket_pdf_render(const struct ticket_document *d, struct buf *out, struct error *ret_error);

struct ticket_pdf_job {
	struct ticket_document *document;
	struct buf pdf;
	struct error error;
	bool ok;
};
struct ticket_pdf_job *ticket_pdf_job_new(struct ticket_document *d_take);
void ticket_pdf_job_run(void *job);
void ticket_pdf_job_free(void *job);

#endif
