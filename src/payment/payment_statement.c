/*
 * GET /v1/statements?day=: what an organiser took and gave back on a day (UTC), from the audit trail. JSON in pages, with the sums
 * of the whole day on the first; CSV whole, or with a link to what is left when there are very many lines. Nothing about a
 * person is in it.
 *
 *   day, format, cursor --> transaction: sums (first page of JSON) --> lines --> JSON: answer
 *                                                                       ^ +----> CSV: answer, or the next lines
 *                                                                       +---------------+
 *
 * One transaction on a connection of its own, so that nobody's statement waits behind a long day.
 */
#include "payment/payment_statement.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "io/page.h"
#include "payment/payment_int.h"
#include "payment/payment_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 500, CSV_LINES_MAX = 50000, STATEMENT_MS = 30000 };
#define DAY_TEXT 11

/* ---- what is asked ---- */

struct statement {
	struct payment_service *p;
	struct web_call *call;
	struct pg_tx *tx;
	char day[DAY_TEXT];
	int64_t from_us, after_us;
	struct uuid after;
	bool csv, first, failed, more;
	size_t lines;
	struct buf items, sums; /* JSON */
};

static void statement_free(struct statement *s)
{
	buf_done(&s->items);
	buf_done(&s->sums);
	free(s);
}

static bool refuse(struct statement *s, enum err code, const char *path, const char *detail)
{
	struct error e = {0};

	error_set(&e, code, path, "%s", detail);
	web_refuse_error(s->call, &e);
	return false;
}

/* "2026-11-26": a day that has begun. */
static bool day_read(struct statement *s)
{
	struct str text = STR_NULL;
	bool bad = false;
	char time[32];

	http_req_query(s->call->req, "day", &text, &bad);
	if (!bad && text.n == DAY_TEXT - 1) {
		memcpy(s->day, text.p, text.n);
		snprintf(time, sizeof(time), "%sT00:00:00Z", s->day);
	}
	if (!s->day[0] || !time_parse(str_from(time), &s->from_us))
		return refuse(s, ERR_INVALID_REQUEST, "/day", "\"day\" must be a day like 2026-11-26 (UTC).");
	if (s->from_us > wall_now_us())
		return refuse(s, ERR_INVALID_VALUE, "/day", "\"day\" has not begun yet (UTC).");
	return true;
}

static bool accepts_csv(struct http_req *req)
{
	const struct str *accept = http_req_header(req, "accept");
	struct str rest = accept ? *accept : STR_NULL, one, media;

	while (rest.n) {
		rest = str_split(rest, ',', &one);
		str_split(one, ';', &media);
		if (str_ieqc(str_trim(media), "text/csv"))
			return true;
	}
	return false;
}

static bool format_read(struct statement *s)
{
	struct str text = STR_NULL;
	bool bad = false;

	if (!http_req_query(s->call->req, "format", &text, &bad) && !bad) {
		s->csv = accepts_csv(s->call->req);
		return true;
	}
	s->csv = !bad && str_eqc(text, "csv");
	return s->csv || (!bad && str_eqc(text, "json")) ||
	       refuse(s, ERR_INVALID_REQUEST, "/format", "\"format\" must be json or csv.");
}

/* ---- lines ---- */

enum column {
	AT,
	EVENT,
	KIND,
	LATE,
	SHOW,
	BOOKING,
	REFERENCE,
	PAYMENT,
	REFUND,
	REFUND_KIND,
	GATEWAY,
	AMOUNT,
	CURRENCY
};

static bool is_payment(const struct pg_result *r, int i)
{
	return str_eqc(pg_get_text(r, i, KIND), "payment");
}

static void write_json(struct jw *w, const struct pg_result *r, int i)
{
	struct uuid show = pg_get_uuid(r, i, SHOW), booking = pg_get_uuid(r, i, BOOKING),
		    payment = pg_get_uuid(r, i, PAYMENT), refund;
	char currency[4];

	jw_obj(w);
	jw_ktime(w, "at", pg_get_time(r, i, AT));
	jw_kstr(w, "kind", pg_get_text(r, i, KIND));
	jw_kuuid(w, "booking_id", &booking);
	jw_kstr(w, "reference", pg_get_text(r, i, REFERENCE));
	jw_kuuid(w, "show_id", &show);
	jw_kuuid(w, "payment_id", &payment);
	if (!is_payment(r, i)) {
		if (!pg_is_null(r, i, REFUND)) {
			refund = pg_get_uuid(r, i, REFUND);
			jw_kuuid(w, "refund_id", &refund);
		}
		jw_kstr(w, "refund_kind", pg_get_text(r, i, REFUND_KIND));
	}
	if (pg_get_bool(r, i, LATE))
		jw_kbool(w, "late", true);
	jw_kstr(w, "gateway_id", pg_get_text(r, i, GATEWAY));
	snprintf(currency, sizeof(currency), "%.*s", STR_FMT(pg_get_text(r, i, CURRENCY)));
	jw_kmoney(w, "amount", pg_get_int(r, i, AMOUNT), currency);
	jw_obj_end(w);
}

static void csv_field(struct buf *b, struct str v, bool last)
{
	bool quote = false;

	/* what a spreadsheet would take for a formula is made a text */
	bool formula = v.n && strchr("=+-@\t\r", v.p[0]);

	for (size_t i = 0; i < v.n; i++)
		quote |= v.p[i] == ',' || v.p[i] == '"' || v.p[i] == '\r' || v.p[i] == '\n';
	if (quote)
		buf_addc(b, '"');
	if (formula)
		buf_addc(b, '\'');
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] == '"')
			buf_addc(b, '"');
		buf_addc(b, v.p[i]);
	}
	if (quote)
		buf_addc(b, '"');
	buf_adds(b, last ? "\r\n" : ",");
}

static void csv_uuid(struct buf *b, const struct pg_result *r, int i, enum column col)
{
	char text[UUID_TEXT] = "";

	if (!pg_is_null(r, i, (int)col)) {
		struct uuid id = pg_get_uuid(r, i, (int)col);

		uuid_format(&id, text);
	}
	csv_field(b, str_from(text), false);
}

static void write_csv(struct buf *b, const struct pg_result *r, int i)
{
	char at[TIME_TEXT_MAX];

	time_format(pg_get_time(r, i, AT), at);
	csv_field(b, str_from(at), false);
	csv_field(b, pg_get_text(r, i, KIND), false);
	csv_uuid(b, r, i, BOOKING);
	csv_field(b, pg_get_text(r, i, REFERENCE), false);
	csv_uuid(b, r, i, SHOW);
	csv_uuid(b, r, i, PAYMENT);
	if (is_payment(r, i))
		buf_adds(b, pg_get_bool(r, i, LATE) ? ",late," : ",,");
	else {
		csv_uuid(b, r, i, REFUND);
		csv_field(b, pg_get_text(r, i, REFUND_KIND), false);
	}
	csv_field(b, pg_get_text(r, i, GATEWAY), false);
	buf_addi(b, pg_get_int(r, i, AMOUNT));
	buf_addc(b, ',');
	csv_field(b, pg_get_text(r, i, CURRENCY), true);
}

/* ---- the answer ---- */

static void answer_csv(struct statement *s)
{
	struct web_call *call = s->call;
	char cursor[PAGE_CURSOR_TEXT];
	struct http_header headers[3] = {{STR("Content-Type"), STR("text/csv; charset=utf-8; header=present")}};
	size_t n = 1;

	headers[n++] = (struct http_header){
		STR("Content-Disposition"),
		str_from(arena_printf(call->arena, "attachment; filename=\"statement-%s.csv\"", s->day))};
	if (s->more) {
		page_cursor_text(s->after_us, &s->after, cursor);
		headers[n++] = (struct http_header){
			STR("Link"),
			str_from(arena_printf(call->arena, "</v1/statements?day=%s&format=csv&cursor=%s>; rel=\"next\"",
					      s->day, cursor))};
	}
	web_bytes(call, 200, headers, n, buf_str(&call->out));
}

static void answer_json(struct statement *s)
{
	struct jw *w = web_json(s->call);
	char cursor[PAGE_CURSOR_TEXT];

	jw_kcstr(w, "day", s->day);
	jw_kcstr(w, "timezone", "UTC");
	jw_kbool(w, "over", s->from_us + US_PER_DAY <= wall_now_us());
	if (s->first) {
		jw_key(w, "sums");
		jw_raw(w, buf_str(&s->sums));
	}
	jw_key(w, "items");
	jw_arr(w);
	jw_raw(w, buf_str(&s->items));
	jw_arr_end(w);
	jw_key(w, "next");
	if (s->more) {
		page_cursor_text(s->after_us, &s->after, cursor);
		jw_cstr(w, cursor);
	} else {
		jw_null(w);
	}
	web_json_end(s->call, 200);
}

static void on_read(void *arg, const struct pg_answer *a)
{
	struct statement *s = arg;

	if (a->status != PG_OK || s->failed || s->items.failed || s->sums.failed || s->call->out.failed)
		web_refuse(s->call, ERR_UNAVAILABLE, NULL);
	else if (s->csv)
		answer_csv(s);
	else
		answer_json(s);
	statement_free(s);
}

static void ask_lines(struct statement *s);

static void on_lines(void *arg, const struct pg_answer *a)
{
	struct statement *s = arg;
	const struct pg_result *r = a->result;
	int n = a->status == PG_OK ? pg_rows(r) : 0;
	struct jw w;

	s->failed |= a->status != PG_OK;
	s->more = n > PAGE;
	n = s->more ? PAGE : n;
	for (int i = 0; i < n; i++) {
		if (s->csv)
			write_csv(&s->call->out, r, i);
		else {
			if (i)
				buf_addc(&s->items, ',');
			jw_init(&w, &s->items);
			write_json(&w, r, i);
		}
	}
	if (n) {
		s->after_us = pg_get_time(r, n - 1, AT);
		s->after = pg_get_uuid(r, n - 1, EVENT);
	}
	s->lines += (size_t)n;
	if (s->csv && s->more && s->lines < CSV_LINES_MAX && !s->failed)
		ask_lines(s);
	else
		pg_tx_commit(s->tx, on_read, s);
}

static void span_args(struct statement *s, struct pg_args *args)
{
	pg_args_init(args, s->call->arena);
	pg_arg_uuid(args, &s->call->who.organizer_id);
	pg_arg_time(args, s->from_us);
	pg_arg_time(args, s->from_us + US_PER_DAY);
}

static void ask_lines(struct statement *s)
{
	struct pg_args args;

	span_args(s, &args);
	pg_arg_time(&args, s->after_us);
	pg_arg_uuid(&args, &s->after);
	pg_arg_i32(&args, PAGE + 1);
	pg_tx_exec(s->tx, &payment_sql_statement_lines, &args, on_lines, s);
}

static void on_sums(void *arg, const struct pg_answer *a)
{
	struct statement *s = arg;
	struct jw w;

	s->failed |= a->status != PG_OK;
	jw_init(&w, &s->sums);
	jw_arr(&w);
	for (int i = 0; a->status == PG_OK && i < pg_rows(a->result); i++) {
		int64_t captured = pg_get_int(a->result, i, 1), refunded = pg_get_int(a->result, i, 2),
			reversed = pg_get_int(a->result, i, 6);

		jw_obj(&w);
		jw_kstr(&w, "currency", pg_get_text(a->result, i, 0));
		jw_kint(&w, "captured", captured);
		jw_kint(&w, "refunded", refunded);
		jw_kint(&w, "reversed", reversed);
		jw_kint(&w, "net", captured - refunded + reversed);
		jw_kint(&w, "fees_kept", pg_get_int(a->result, i, 3));
		jw_kint(&w, "payments", pg_get_int(a->result, i, 4));
		jw_kint(&w, "refunds", pg_get_int(a->result, i, 5));
		jw_kint(&w, "reversals", pg_get_int(a->result, i, 7));
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
}

void payment_statement_get(struct web_call *call)
{
	struct statement *s = xcalloc(1, sizeof(*s));
	struct pg_args args;

	s->p = call->service;
	s->call = call;
	buf_init(&s->items, 4 * 1024 * 1024);
	buf_init(&s->sums, 64 * 1024);
	if (!day_read(s) || !format_read(s) || !page_cursor_read(call, &s->after_us, &s->after)) {
		statement_free(s);
		return;
	}
	s->first = s->after_us == 0;
	s->tx = pg_tx_start(s->p->config.pg, NULL, STATEMENT_MS);
	if (s->csv) {
		buf_adds(&call->out, "at,kind,booking_id,reference,show_id,payment_id,refund_id,refund_kind,gateway_id,"
				     "amount_minor,currency\r\n");
	} else if (s->first) {
		span_args(s, &args);
		pg_tx_exec(s->tx, &payment_sql_statement_sums, &args, on_sums, s);
	}
	ask_lines(s);
}
