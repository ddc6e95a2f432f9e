/* Shows over HTTP: made from an event and a plan, read by everybody, listed by event. */
#include "event/event_int.h"

#include "base/times.h"
#include "base/xmalloc.h"
#include "event/event_sql.h"
#include "io/crypto.h"
#include "io/page.h"

#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

struct reading {
	struct web_call *call;
	struct show *show;
	struct loop *loop;
	int status;
};

static void show_answer(struct reading *r, int32_t free_seats)
{
	struct show *s = r->show;
	struct jw *w = web_json(r->call);

	jw_kuuid(w, "show_id", &s->show_id);
	jw_kuuid(w, "event_id", &s->event_id);
	jw_kcstr(w, "event_name", s->event_name);
	jw_key(w, "venue");
	jw_obj(w);
	jw_kuuid(w, "venue_id", &s->venue_id);
	jw_kcstr(w, "name", s->venue_name);
	jw_kcstr(w, "city", s->venue_city);
	jw_kcstr(w, "address", s->venue_address);
	jw_kcstr(w, "country", s->venue_country);
	jw_obj_end(w);
	jw_kuuid(w, "plan_id", &s->plan_id);
	jw_kint(w, "plan_version", s->plan_version);
	jw_ktime(w, "starts_at", s->starts_at_us);
	jw_kcstr(w, "timezone", s->timezone);
	jw_ktime(w, "sale_starts_at", s->sale_starts_at_us);
	jw_ktime(w, "sale_ends_at", s->sale_ends_at_us);
	jw_kcstr(w, "status", show_status_name(s->status));
	jw_kbool(w, "on_sale", show_on_sale(s, show_clock_us(s, r->loop)));
	jw_kint(w, "capacity", s->capacity);
	jw_key(w, "free");
	if (free_seats < 0)
		jw_null(w);
	else
		jw_int(w, free_seats);
	jw_key(w, "categories");
	jw_arr(w);
	for (uint32_t i = 0; i < plan_n_categories(s->plan); i++) {
		struct plan_category c = plan_category(s->plan, i);

		jw_obj(w);
		jw_kstr(w, "name", c.name);
		jw_kstr(w, "color", c.color);
		jw_kmoney(w, "price", s->prices_minor[i], s->currency->code);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	jw_key(w, "cancellation");
	if (s->cancel_until_us == INT64_MIN) {
		jw_null(w);
	} else {
		jw_obj(w);
		jw_ktime(w, "until", s->cancel_until_us);
		jw_kmoney(w, "fee", s->cancel_fee_minor, s->currency->code);
		jw_obj_end(w);
	}
	if (s->refund_until_us != INT64_MIN)
		jw_ktime(w, "refund_until", s->refund_until_us);
	jw_kbool(w, "transferable", s->transferable);
	jw_kcstr(w, "verification", s->verification ? "required" : "none");
	event_end_with_tag(r->call, r->status, s->revision);
	show_unref(r->show);
	free(r);
}

static void on_free(void *arg, int32_t free_seats)
{
	show_answer(arg, free_seats);
}

void show_found(struct web_call *call, struct show *show, int status)
{
	struct event_service *ev = call->service;
	struct reading *r = xcalloc(1, sizeof(*r));

	r->call = call;
	r->show = show_ref(show);
	r->loop = ev->config.loop;
	r->status = status;
	if (ev->free_ask)
		ev->free_ask(ev->free_source, show, on_free, r);
	else
		show_answer(r, -1);
}

static void on_show(void *arg, enum err err, struct show *show)
{
	struct web_call *call = arg;
	struct uuid viewer = event_viewer(call);

	if (err == ERR_NONE && show->status == SHOW_DRAFT && !uuid_eq(&show->organizer_id, &viewer))
		err = ERR_NOT_FOUND;
	if (err != ERR_NONE)
		web_refuse(call, err, err == ERR_NOT_FOUND ? "There is no such show." : NULL);
	else
		show_found(call, show, 200);
}

void show_get(struct web_call *call)
{
	struct event_service *ev = call->service;

	/* whoever reads it to change it needs the newest tag, whichever process made the last change */
	if (call->who.kind == WHO_STAFF)
		event_show_forget(ev, &call->ids[0]);
	event_show_get(ev, &call->ids[0], on_show, call);
}

static void on_shows(void *arg, const struct pg_answer *a)
{
	struct web_call *call = arg;
	int rows;
	struct jw *w = event_list_begin(call, a, &rows);

	if (!w)
		return;
	for (int i = 0; i < rows; i++) {
		struct uuid id = pg_get_uuid(a->result, i, 0), venue = pg_get_uuid(a->result, i, 9);

		jw_obj(w);
		jw_kuuid(w, "show_id", &id);
		jw_kuuid(w, "event_id", &call->ids[0]);
		jw_kstr(w, "status", pg_get_text(a->result, i, 1));
		jw_ktime(w, "starts_at", pg_get_time(a->result, i, 2));
		jw_kstr(w, "timezone", pg_get_text(a->result, i, 3));
		jw_ktime(w, "sale_starts_at", pg_get_time(a->result, i, 4));
		jw_ktime(w, "sale_ends_at", pg_get_time(a->result, i, 5));
		jw_kint(w, "capacity", pg_get_int(a->result, i, 6));
		jw_key(w, "venue");
		jw_obj(w);
		jw_kuuid(w, "venue_id", &venue);
		jw_kstr(w, "name", pg_get_text(a->result, i, 7));
		jw_kstr(w, "city", pg_get_text(a->result, i, 8));
		jw_obj_end(w);
		jw_obj_end(w);
	}
	page_end(w, a->result, EVENT_PAGE, 2);
	web_json_end(call, 200);
}

struct listing {
	struct web_call *call;
	struct event_service *ev;
	int64_t after_us;
	struct uuid after;
};

static void on_shows_event(void *arg, const struct pg_answer *a)
{
	struct listing *l = arg;
	struct uuid viewer = event_viewer(l->call);
	struct pg_args args;

	if (a->status != PG_OK) {
		event_refuse_pg(l->call, a, false);
		return;
	}
	if (pg_rows(a->result) == 0) {
		web_refuse(l->call, ERR_NOT_FOUND, "There is no such event.");
		return;
	}
	pg_args_init(&args, l->call->arena);
	pg_arg_uuid(&args, &l->call->ids[0]);
	pg_arg_uuid(&args, &viewer);
	pg_arg_time(&args, l->after_us);
	pg_arg_uuid(&args, &l->after);
	pg_arg_i32(&args, EVENT_PAGE + 1);
	pg_query_start(l->ev->config.pg, &event_sql_shows_of_event, &args, EVENT_QUERY_MS, on_shows, l->call);
}

void shows_get(struct web_call *call)
{
	struct listing *l = arena_new(call->arena, struct listing);
	struct uuid viewer = event_viewer(call);
	struct pg_args args;

	l->call = call;
	l->ev = call->service;
	if (!page_cursor_read(call, &l->after_us, &l->after))
		return;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &viewer);
	pg_query_start(l->ev->config.pg, &event_sql_event_get, &args, EVENT_QUERY_MS, on_shows_event, l);
}

/* ---- making ---- */

struct making {
	struct event_service *ev;
	struct web_call *call;
	struct idempotent idem;
	struct uuid plan_id;
	json_t *body;
};

static void on_made_show(void *arg, enum err err, struct show *show)
{
	struct web_call *call = arg;

	if (err != ERR_NONE)
		web_refuse(call, err == ERR_NOT_FOUND ? ERR_INTERNAL : err, NULL);
	else
		show_found(call, show, 201);
}

static void on_same_show(void *arg, const struct pg_answer *a)
{
	struct making *m = arg;

	if (a->status != PG_OK)
		event_refuse_pg(m->call, a, true);
	else if (pg_rows(a->result) == 0 || !str_eq(pg_get_bytes(a->result, 0, 15), idempotent_hash(&m->idem)))
		web_refuse(m->call, ERR_IDEMPOTENCY_MISMATCH, NULL);
	else
		event_show_get(m->ev, &m->idem.id, on_made_show, m->call);
}

static void on_made(void *arg, const struct pg_answer *a)
{
	struct making *m = arg;
	struct pg_args args;

	if (a->status != PG_OK) {
		event_refuse_pg(m->call, a, true);
	} else if (pg_get_int(a->result, 0, 0) == 0) {
		web_refuse(m->call, ERR_NOT_FOUND, "There is no such event.");
	} else {
		pg_args_init(&args, m->call->arena);
		pg_arg_uuid(&args, &m->idem.id);
		pg_query_start(m->ev->config.pg, &event_sql_show_get, &args, EVENT_QUERY_MS, on_same_show, m);
	}
}

/* {category name: money}: one price per category of the plan, all in one currency. The names are the organiser's own and may
 * be more than a json_in remembers, so each gets a reader of its own and the members too many are looked for here. */
bool show_prices_read(const json_t *object, const struct plan *plan, struct arena *arena, uint32_t seats_per_lock,
		      int64_t *ret_prices, const struct currency **ret_currency, struct error *e)
{
	uint32_t n = plan_n_categories(plan);
	char path[ERROR_PATH_MAX];
	const char *key;
	json_t *value;

	*ret_currency = NULL;
	for (uint32_t i = 0; i < n; i++) {
		const char *name = arena_cstr(arena, plan_category(plan, i).name);
		struct json_in in;
		struct money price;

		json_in_init(&in, object, "/prices", e);
		if (!json_in_money(&in, name, JSON_REQUIRED, &price))
			return false;
		if (*ret_currency && *ret_currency != price.currency) {
			json_pointer(path, "/prices", name);
			return error_set(e, ERR_INVALID_VALUE, path,
					 "All prices of a show are in one currency; %s came before.",
					 (*ret_currency)->code);
		}
		*ret_currency = price.currency;
		ret_prices[i] = price.amount_minor;
		if (price.amount_minor > MONEY_MAX_MINOR / seats_per_lock) {
			char of_category[ERROR_PATH_MAX];

			json_pointer(of_category, "/prices", name);
			json_pointer(path, of_category, "amount");
			return error_set(e, ERR_INVALID_VALUE, path,
					 "At most %lld minor units a seat: %u seats are paid at once, and no payment "
					 "is above %lld.",
					 (long long)(MONEY_MAX_MINOR / seats_per_lock), seats_per_lock,
					 (long long)MONEY_MAX_MINOR);
		}
	}
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
		if (plan_category_by_name(plan, str_from(key)) < 0) {
			json_pointer(path, "/prices", key);
			return error_set(e, ERR_INVALID_VALUE, path, "The plan has no category \"%.64s\".", key);
		}
	return true;
}

struct str show_verification_read(struct json_in *in)
{
	struct str v = json_in_str(in, "verification", JSON_OPTIONAL, 1, 20);

	if (v.n && !str_eqc(v, "none") && !str_eqc(v, "required"))
		json_in_fault(in, ERR_INVALID_VALUE, "verification", "\"verification\" is \"none\" or \"required\".");
	return v;
}

/* ---- a plan, read and imported ---- */

struct plan_read {
	struct web_call *call;
	show_plan_fn *fn;
	void *arg;
	struct uuid venue_id;
	char *text;
	size_t n;
	struct plan *plan;
	struct error error;
};

static void plan_read_work(void *data)
{
	struct plan_read *p = data;
	struct plan_limits limits = plan_limits_default;

	limits.seats_max = limits.rows_max = limits.zones_max = limits.areas_max = UINT32_MAX;
	p->plan = plan_import((struct str){p->text, p->n}, &limits, &p->error);
}

static void plan_read_free(void *data)
{
	struct plan_read *p = data;

	plan_unref(p->plan);
	free(p->text);
	free(p);
}

static void on_plan_imported(void *arg, void *data)
{
	struct plan_read *p = data;

	if (!p->plan)
		web_refuse(p->call, ERR_INTERNAL, "The stored plan cannot be read.");
	p->fn(p->arg, p->plan, &p->venue_id);
}

static void plan_read_refused(struct plan_read *p)
{
	p->fn(p->arg, NULL, &p->venue_id);
	plan_read_free(p);
}

static void on_plan_text(void *arg, const struct pg_answer *a)
{
	struct plan_read *p = arg;
	struct event_service *ev = p->call->service;
	struct uuid owner;
	struct str text;

	if (a->status != PG_OK) {
		event_refuse_pg(p->call, a, false);
		plan_read_refused(p);
		return;
	}
	if (pg_rows(a->result))
		owner = pg_get_uuid(a->result, 0, 6);
	if (pg_rows(a->result) == 0 || !uuid_eq(&owner, &p->call->who.organizer_id)) {
		struct error e = {0};

		error_set(&e, ERR_NOT_FOUND, "/plan_id", "There is no such plan.");
		web_refuse_error(p->call, &e);
		plan_read_refused(p);
		return;
	}
	p->venue_id = pg_get_uuid(a->result, 0, 1);
	text = pg_get_text(a->result, 0, 4);
	p->text = xmalloc(text.n);
	p->n = text.n;
	memcpy(p->text, text.p, text.n);
	if (!offload_start(ev->config.offload, plan_read_work, p, plan_read_free, on_plan_imported, NULL)) {
		web_refuse(p->call, ERR_OVERLOADED, NULL);
		plan_read_refused(p);
	}
}

void show_plan_want(struct web_call *call, const struct uuid *plan_id, show_plan_fn *fn, void *arg)
{
	struct event_service *ev = call->service;
	struct plan_read *p = xcalloc(1, sizeof(*p));
	struct pg_args args;

	p->call = call;
	p->fn = fn;
	p->arg = arg;
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, plan_id);
	pg_query_start(ev->config.pg, &event_sql_plan_get, &args, EVENT_QUERY_MS, on_plan_text, p);
}

/* ---- making, with the plan at hand ---- */

static void on_plan_for_show(void *arg, struct plan *plan, const struct uuid *venue_id)
{
	struct making *m = arg;
	struct web_call *call;
	struct error e = {0};
	struct json_in in, cancellation;
	struct money fee = {0};
	struct str status;
	enum show_status parsed = SHOW_PUBLISHED;
	const struct currency *currency = NULL;
	bool transferable;
	struct str verification;
	int64_t starts, sale_starts, sale_ends, until = INT64_MIN, prices[PLAN_CATEGORIES_MAX];
	const json_t *price_list;
	struct uuid plan_id, outbox_id = crypto_uuid_v7(wall_now_us());
	struct pg_args args;

	if (!plan)
		return; /* answered, and m is gone */
	call = m->call;
	json_in_init(&in, m->body, "", &e);
	json_in_uuid(&in, "plan_id", JSON_REQUIRED, &plan_id);
	json_in_time(&in, "starts_at", JSON_REQUIRED, &starts);
	json_in_time(&in, "sale_starts_at", JSON_REQUIRED, &sale_starts);
	json_in_time(&in, "sale_ends_at", JSON_REQUIRED, &sale_ends);
	price_list = json_in_value(&in, "prices", JSON_REQUIRED);
	status = json_in_str(&in, "status", JSON_OPTIONAL, 1, 20);
	transferable = json_in_bool(&in, "transferable", JSON_OPTIONAL, true);
	verification = show_verification_read(&in);
	if (json_in_object(&in, "cancellation", JSON_OPTIONAL, &cancellation)) {
		json_in_time(&cancellation, "until", JSON_REQUIRED, &until);
		json_in_amount(&cancellation, "fee", JSON_OPTIONAL, 0, &fee);
		json_in_end(&cancellation);
	}
	if (status.n && (!show_status_parse(status, &parsed) || parsed == SHOW_CANCELLED))
		json_in_fault(&in, ERR_INVALID_VALUE, "status", "\"status\" is \"draft\" or \"published\".");
	if (e.code == ERR_NONE && sale_ends <= sale_starts)
		json_in_fault(&in, ERR_INVALID_VALUE, "sale_ends_at", "The sale must end after it starts.");
	if (json_in_end(&in))
		show_prices_read(price_list, plan, call->arena,
				 m->ev->config.seats_per_lock ? m->ev->config.seats_per_lock : 1, prices, &currency,
				 &e);
	if (e.code == ERR_NONE && fee.currency && fee.currency != currency)
		error_set(&e, ERR_INVALID_VALUE, "/cancellation/fee/currency",
			  "The fee is in the currency of the prices, %s.", currency->code);
	if (e.code != ERR_NONE) {
		web_refuse_error(call, &e);
		return;
	}
	pg_args_init(&args, call->arena);
	pg_arg_uuid(&args, &m->idem.id);
	pg_arg_uuid(&args, &call->ids[0]);
	pg_arg_uuid(&args, &call->who.organizer_id);
	pg_arg_uuid(&args, &plan_id);
	pg_arg_text(&args, str_from(show_status_name(parsed)));
	pg_arg_time(&args, starts);
	pg_arg_time(&args, sale_starts);
	pg_arg_time(&args, sale_ends);
	pg_arg_text(&args, str_from(currency->code));
	pg_arg_i64s(&args, prices, plan_n_categories(plan));
	pg_arg_time(&args, until);
	pg_arg_i64(&args, fee.amount_minor);
	pg_arg_bytes(&args, idempotent_hash(&m->idem));
	pg_arg_bool(&args, transferable);
	pg_arg_uuid(&args, &outbox_id);
	pg_arg_text(&args, verification.n ? verification : STR("none"));
	pg_query_start(m->ev->config.pg, &event_sql_show_create, &args, EVENT_WRITE_MS, on_made, m);
}

void show_post(struct web_call *call)
{
	struct making *m = arena_new(call->arena, struct making);
	struct error e = {0};
	const json_t *plan_id;
	json_t *body;

	m->ev = call->service;
	m->call = call;
	body = web_body(call);
	if (!body || !auth_idempotent(m->ev->config.auth, call, body, &m->idem))
		return;
	m->body = body;
	plan_id = json_object_get(m->body, "plan_id");
	if (!json_is_string(plan_id) ||
	    !uuid_parse((struct str){json_string_value(plan_id), json_string_length(plan_id)}, &m->plan_id)) {
		struct json_in in;

		/* the same sentences as for everything else */
		json_in_init(&in, m->body, "", &e);
		json_in_uuid(&in, "plan_id", JSON_REQUIRED, &m->plan_id);
		web_refuse_error(call, &e);
		return;
	}
	show_plan_want(call, &m->plan_id, on_plan_for_show, m);
}
