/*
 * One ticket as its holder carries it: PDF, SVG, PNG, and the show for their calendar. Each is made when asked for, from the ticket's row, the show and the
 * plan; nothing is stored. A ticket that is revoked is not found: whoever holds its paper holds paper. Its calendar's entry says that
 * it is cancelled, to who had it.
 */
#include "base/xmalloc.h"
#include "io/crypto.h"
#include "ticket/pdf.h"
#include "ticket/qr.h"
#include "ticket/qr_png.h"
#include "ticket/ticket_bundle.h"
#include "ticket/ticket_ics.h"
#include "ticket/ticket_int.h"
#include "ticket/ticket_sql.h"

#include <stdlib.h>
#include <string.h>

enum { SVG_MAX = 256 * 1024, PNG_MAX = 256 * 1024, ICS_MAX = 32 * 1024 };

/* The columns of ticket_get.sql after the common ones. */
enum {
	COL_ISSUED = TICKET_COLS,
	COL_BOOKING,
	COL_SESSION,
	COL_ORGANIZER,
	COL_REFERENCE,
	COL_PRICE,
	COL_CURRENCY,
	COL_BUYER,
	COL_LOCALE,
	COL_ORGANIZER_NAME,
	COL_TRANSFER,
	COL_ORIGIN,
	COL_REISSUED,
};

struct paper {
	struct ticket_service *t;
	struct web_call *call;
	void (*draw)(struct paper *p, struct show *show);
	bool also_revoked, revoked; /* a calendar is told that it comes to nothing */
	struct uuid origin;
	/* in the call's arena */
	uint32_t seat_no;
	char code[TICKET_CODE_TEXT];
	const char *reference, *buyer, *locale, *organizer;
	int64_t issued_us, price_minor;
	const struct currency *currency;
};

static void on_paper_show(void *arg, enum err err, struct show *show)
{
	struct paper *p = arg;

	if (err != ERR_NONE)
		web_refuse(p->call, err, NULL);
	else
		p->draw(p, show);
}

static void on_ticket(void *arg, const struct pg_answer *a)
{
	struct paper *p = arg;
	struct web_call *call = p->call;
	const struct pg_result *r = a->result;
	struct uuid booking, session, organizer, transfer;

	if (a->status != PG_OK) {
		web_refuse(call, ERR_UNAVAILABLE, NULL);
		return;
	}
	p->revoked = pg_rows(r) && str_eqc(pg_get_text(r, 0, TICKET_COL_STATE), "revoked");
	/* of a ticket that was issued again the entry goes on with the next one */
	if (pg_rows(r) == 0 || (p->revoked && (!p->also_revoked || pg_get_bool(r, 0, COL_REISSUED)))) {
		web_refuse(call, ERR_NOT_FOUND, "You have no such ticket.");
		return;
	}
	booking = pg_get_uuid(r, 0, COL_BOOKING);
	session = pg_get_uuid(r, 0, COL_SESSION);
	organizer = pg_get_uuid(r, 0, COL_ORGANIZER);
	/* a ticket that was given away is its holder's: their link names the transfer, and nobody's session has it */
	transfer = pg_get_uuid(r, 0, COL_TRANSFER);
	if (!uuid_is_zero(&transfer)) {
		booking = transfer;
		session = (struct uuid){{0}};
	}
	if (!ticket_may_see(call, &call->ids[0], &booking, &session, &organizer)) {
		web_refuse(call, ERR_NOT_FOUND, "You have no such ticket.");
		return;
	}
	if (!p->revoked && !ticket_row_code(p->t, &call->ids[0], r, 0, p->code)) {
		web_refuse(call, ERR_INTERNAL, "The key that signs this ticket cannot be opened.");
		return;
	}
	p->origin = pg_get_uuid(r, 0, COL_ORIGIN);
	p->seat_no = (uint32_t)pg_get_int(r, 0, TICKET_COL_SEAT);
	p->issued_us = pg_get_time(r, 0, COL_ISSUED);
	p->reference = arena_cstr(call->arena, pg_get_text(r, 0, COL_REFERENCE));
	p->price_minor = pg_get_int(r, 0, COL_PRICE);
	p->currency = currency_find(pg_get_text(r, 0, COL_CURRENCY));
	p->buyer = arena_cstr(call->arena, pg_get_text(r, 0, COL_BUYER));
	p->locale = arena_cstr(call->arena, pg_get_text(r, 0, COL_LOCALE));
	p->organizer = arena_cstr(call->arena, pg_get_text(r, 0, COL_ORGANIZER_NAME));
	event_show_get_numbered(p->t->config.event, &call->ids[0], on_paper_show, p);
}

static void paper_get(struct web_call *call, void (*draw)(struct paper *, struct show *), bool also_revoked)
{
	struct paper *p = arena_new(call->arena, struct paper);
	struct pg_args args;

	p->t = call->service;
	p->call = call;
	p->draw = draw;
	p->also_revoked = also_revoked;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->ids[1]);
	pg_query_start(p->t->config.pg, &ticket_sql_ticket_get, &args, TICKET_QUERY_MS, on_ticket, p);
}

/* The link may carry the booking's token: no-store is the layer's default, the address is told to nobody. An SVG opened as
 * a page may load and run nothing. */
static void paper_answer(struct paper *p, const char *type, const char *ending, struct str bytes)
{
	struct web_call *call = p->call;
	const char *name =
		arena_printf(call->arena, "inline; filename=\"ticket-%s-%u.%s\"", p->reference, p->seat_no, ending);
	struct http_header headers[] = {
		{STR("Content-Type"), str_from(type)},
		{STR("Content-Disposition"), str_from(name)},
		{STR("Referrer-Policy"), STR("no-referrer")},
		{STR("Content-Security-Policy"), STR("default-src 'none'; style-src 'unsafe-inline'")}};

	web_bytes(call, 200, headers, sizeof(headers) / sizeof(headers[0]), bytes);
}

/* ---- pictures ---- */

static void draw_svg(struct paper *p, struct show *show)
{
	struct qr *qr = arena_new(p->call->arena, struct qr);
	struct buf out;

	buf_init(&out, SVG_MAX);
	if (qr_encode(str_from(p->code), qr) && qr_svg(qr, str_from(show->event_name), &out))
		paper_answer(p, "image/svg+xml", "svg", buf_str(&out));
	else
		web_refuse(p->call, ERR_INTERNAL, NULL);
	buf_done(&out);
}

static void draw_png(struct paper *p, struct show *show)
{
	struct qr *qr = arena_new(p->call->arena, struct qr);
	struct buf out;

	buf_init(&out, PNG_MAX);
	if (qr_encode(str_from(p->code), qr) && qr_png(qr, &out))
		paper_answer(p, "image/png", "png", buf_str(&out));
	else
		web_refuse(p->call, ERR_INTERNAL, NULL);
	buf_done(&out);
}

void ticket_svg_get(struct web_call *call)
{
	paper_get(call, draw_svg, false);
}

void ticket_png_get(struct web_call *call)
{
	paper_get(call, draw_png, false);
}

/* ---- the PDF, on the thread pool from copies of everything ---- */

/* "#7f4a91" or "#74a"; -1 for any other way to name a colour. */
static int32_t rgb_from_css(struct str color)
{
	char digits[6];
	uint8_t rgb[3];

	if (color.n == 4 && color.p[0] == '#') {
		for (int i = 0; i < 6; i++)
			digits[i] = color.p[1 + i / 2];
	} else if (color.n == 7 && color.p[0] == '#') {
		memcpy(digits, color.p + 1, 6);
	} else {
		return -1;
	}
	if (!hex_decode((struct str){digits, 6}, rgb, 3))
		return -1;
	return rgb[0] << 16 | rgb[1] << 8 | rgb[2];
}

/* What a person calls it: the number, as the ticket has headings of its own; the label when there is no number. */
static const char *number_or_label(struct arena *a, struct str number, struct str label)
{
	return arena_cstr(a, number.n ? number : label);
}

const char *ticket_address_of(struct arena *a, const struct show *show)
{
	return arena_printf(a, "%s%s%s%s%s", show->venue_address, *show->venue_address && *show->venue_city ? "\n" : "",
			    show->venue_city, *show->venue_city && *show->venue_country ? ", " : "",
			    show->venue_country);
}

static void seat_of(struct arena *a, const struct show *show, uint32_t seat_no, struct money price, const char *code,
		    struct ticket_document_seat *ret)
{
	struct plan_seat seat = plan_seat(show->plan, seat_no);
	struct plan_row row = plan_row(show->plan, seat.row);
	struct plan_category category = plan_category(show->plan, seat.category);

	*ret = (struct ticket_document_seat){
		.zone = arena_cstr(a, plan_zone(show->plan, row.zone).name),
		.row = number_or_label(a, row.number, row.label),
		.seat = number_or_label(a, seat.number, seat.label),
		.category = arena_cstr(a, category.name),
		.category_rgb = rgb_from_css(category.color),
		.accessible = seat.accessible,
		.price = price,
		.code = arena_strdup(a, code),
	};
}

static struct ticket_document *document_of(const struct show *show, const struct ticket_bundle *b, int64_t issued_us,
					   size_t n_seats)
{
	struct ticket_document *d = ticket_document_new();
	struct arena *a = &d->arena;

	d->locale = arena_strdup(a, b->locale);
	d->event_name = arena_strdup(a, show->event_name);
	d->organizer_name = arena_strdup(a, b->organizer);
	d->venue_name = arena_strdup(a, show->venue_name);
	d->venue_address = ticket_address_of(a, show);
	d->timezone = arena_strdup(a, show->timezone);
	d->buyer_name = arena_strdup(a, b->holder);
	d->reference = arena_strdup(a, b->reference);
	d->starts_at_us = show->starts_at_us;
	d->issued_at_us = issued_us;
	d->n_seats = n_seats;
	d->seats = arena_array(a, struct ticket_document_seat, n_seats);
	return d;
}

static void on_pdf(void *arg, void *data)
{
	const struct ticket_pdf_job *job = data;
	struct paper *p = arg;

	if (job->ok)
		paper_answer(p, "application/pdf", "pdf", buf_str(&job->pdf));
	else
		web_refuse(p->call, ERR_INTERNAL, NULL);
}

static void draw_pdf(struct paper *p, struct show *show)
{
	struct ticket_bundle bundle = {p->reference, p->buyer, p->locale, p->organizer};
	struct ticket_document *d = document_of(show, &bundle, p->issued_us, 1);
	struct ticket_pdf_job *job;

	seat_of(&d->arena, show, p->seat_no, (struct money){p->price_minor, p->currency}, p->code, &d->seats[0]);
	job = ticket_pdf_job_new(d);
	if (!offload_start(p->t->config.offload, ticket_pdf_job_run, job, ticket_pdf_job_free, on_pdf, p)) {
		ticket_pdf_job_free(job);
		web_refuse(p->call, ERR_OVERLOADED, NULL);
	}
}

void ticket_pdf_get(struct web_call *call)
{
	paper_get(call, draw_pdf, false);
}

/* ---- all of a holder's tickets, for a mail ---- */

void tickets_of_holder_read(struct ticket_service *t, struct arena *a, const struct uuid *show,
			    const struct uuid *booking, const struct uuid *transfer, pg_fn *fn, void *arg)
{
	struct pg_args args;

	pg_args_init(&args, a);
	pg_arg_uuid(&args, show);
	pg_arg_uuid(&args, booking);
	pg_arg_uuid(&args, transfer);
	pg_query_start(t->config.pg, &ticket_sql_tickets_of_holder, &args, TICKET_QUERY_MS, fn, arg);
}

struct ticket_document *ticket_bundle_document(struct ticket_service *t, const struct show *show,
					       const struct pg_result *r, const struct ticket_bundle *b)
{
	enum { ISSUED = TICKET_COLS, PRICE, CURRENCY };
	struct ticket_document *d = document_of(show, b, pg_get_time(r, 0, ISSUED), (size_t)pg_rows(r));
	char code[TICKET_CODE_TEXT];

	for (int i = 0; i < pg_rows(r); i++) {
		struct money price = {pg_get_int(r, i, PRICE), currency_find(pg_get_text(r, i, CURRENCY))};

		if (!ticket_row_code(t, &show->show_id, r, i, code)) {
			ticket_document_free(d);
			return NULL;
		}
		seat_of(&d->arena, show, (uint32_t)pg_get_int(r, i, TICKET_COL_SEAT), price, code, &d->seats[i]);
	}
	return d;
}

/* ---- the calendar ---- */

static void draw_ics(struct paper *p, struct show *show)
{
	struct plan_seat seat = plan_seat(show->plan, p->seat_no);
	struct plan_row row = plan_row(show->plan, seat.row);
	struct arena *a = p->call->arena;
	struct ticket_ics ics = {
		.ticket_id = p->origin,
		.sequence = show->reschedules,
		.now_us = wall_now_us(),
		.starts_at_us = show->starts_at_us,
		.timezone = show->timezone,
		.cancelled = p->revoked || show->status == SHOW_CANCELLED,
		.summary = show->event_name,
		.location = arena_printf(a, "%s\n%s", show->venue_name, ticket_address_of(a, show)),
		.description = arena_printf(a, "%.*s %s / %s\n%s", STR_FMT(plan_zone(show->plan, row.zone).name),
					    number_or_label(a, row.number, row.label),
					    number_or_label(a, seat.number, seat.label), p->reference)};
	struct buf out;

	buf_init(&out, ICS_MAX);
	if (ticket_ics(&ics, &out))
		paper_answer(p, "text/calendar; charset=utf-8", "ics", buf_str(&out));
	else
		web_refuse(p->call, ERR_INTERNAL, NULL);
	buf_done(&out);
}

void ticket_ics_get(struct web_call *call)
{
	paper_get(call, draw_ics, true);
}
