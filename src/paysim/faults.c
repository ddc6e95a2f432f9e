/*
 * Fault switches, /_sim/faults: in memory, a restart clears them. JSON in and out, unlike the gateway's part.
 *
 * A request (or an event, for `webhook`) goes along the list; the first switch acts that matches its operation, is not
 * used up or over, wants its intent and metadata, and, when it has a probability, is drawn. Draws are made for what
 * matched only, from the switch's own generator: the same seed and the same requests give the same faults.
 */
#include "paysim/sim.h"

#include "base/times.h"
#include "base/xmalloc.h"

#include <stdlib.h>
#include <string.h>

static const char *const op_names[] = {
	[SIM_CREATE] = "create", [SIM_CONFIRM] = "confirm", [SIM_CAPTURE] = "capture",
	[SIM_CANCEL] = "cancel", [SIM_REFUND] = "refund",   [SIM_RETRIEVE] = "retrieve",
	[SIM_ANY] = "any",	 [SIM_WEBHOOK] = "webhook", [SIM_LIST] = "list",
};
static const char *const mode_names[FAULT_MODES] = {
	[FAULT_DROP_BEFORE] = "drop_before",
	[FAULT_DROP_AFTER] = "drop_after",
	[FAULT_500_BEFORE] = "500_before",
	[FAULT_500_AFTER] = "500_after",
	[FAULT_DELAY] = "delay",
	[FAULT_HANG] = "hang",
	[FAULT_HANG_AFTER] = "hang_after",
	[FAULT_429] = "429",
	[FAULT_DECLINE] = "decline",
	[FAULT_TWICE] = "twice",
	[FAULT_REORDER] = "reorder",
};
enum { FAULTS_MAX = 100 };
#define FAULT_TIMES_MAX INT64_C(1000000000)

static int name_index(const char *const *names, size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (names[i] && str_eqc(name, names[i]))
			return (int)i;
	return -1;
}

/* A parameter by its whole name, without marking it as read. */
static struct str raw_param(const struct sim_call *c, const char *name)
{
	for (size_t i = 0; i < c->form.n; i++)
		if (str_eqc(c->form.items[i].name, name))
			return c->form.items[i].value;
	return STR_NULL;
}

/* The intent a call is about: by its address, or by the parameters of a refund. Absent: none yet. */
static struct str call_intent(struct sim_call *c)
{
	struct str intent, id;
	struct charge charge;

	if (str_starts(c->req->path, STR("/v1/payment_intents/")))
		return c->id;
	intent = raw_param(c, "payment_intent");
	id = raw_param(c, "charge");
	if (!intent.p && id.p && store_charge_get(c->sim->store, c->arena, id, &charge))
		return charge.payment_intent;
	return intent;
}

static bool json_has(struct str text, const char *key, const char *value)
{
	JSON_AUTO json_t *object = json_loadb(text.p, text.n, 0, NULL);
	const char *have = json_string_value(json_object_get(object, key));

	return have && strcmp(have, value) == 0;
}

static bool call_has(struct sim_call *c, const struct fault *f)
{
	char name[64];
	struct str value;
	struct intent pi;

	snprintf(name, sizeof(name), "metadata[%s]", f->metadata_key);
	value = raw_param(c, name);
	if (value.p)
		return str_eqc(value, f->metadata_value);
	return store_intent_get(c->sim->store, c->arena, call_intent(c), &pi) &&
	       json_has(pi.metadata, f->metadata_key, f->metadata_value);
}

static bool event_wanted(struct str text, const struct fault *f)
{
	JSON_AUTO json_t *object = json_loadb(text.p, text.n, 0, NULL);
	const char *intent = json_string_value(json_object_get(object, "payment_intent"));
	const char *have = json_string_value(json_object_get(json_object_get(object, "metadata"), f->metadata_key));

	if (!intent)
		intent = json_string_value(json_object_get(object, "id"));
	return (!f->intent[0] || (intent && strcmp(intent, f->intent) == 0)) &&
	       (!f->metadata_key[0] || (have && strcmp(have, f->metadata_value) == 0));
}

static bool wanted(const struct fault *f, const struct fault_about *about)
{
	if (!f->intent[0] && !f->metadata_key[0])
		return true;
	if (!about->call)
		return event_wanted(about->event_object, f);
	return (!f->intent[0] || str_eqc(call_intent(about->call), f->intent)) &&
	       (!f->metadata_key[0] || call_has(about->call, f));
}

/* splitmix64, its upper 53 bits as a number below 1. */
static bool drawn(struct fault *f)
{
	uint64_t z;

	if (f->probability >= 1)
		return true;
	f->chance += UINT64_C(0x9e3779b97f4a7c15);
	z = f->chance;
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	z ^= z >> 31;
	return (double)(z >> 11) * 0x1.0p-53 < f->probability;
}

bool fault_take(struct sim *sim, enum sim_op op, const struct fault_about *about, struct fault *ret)
{
	if (op == SIM_OP_NONE)
		return false;
	list_for_each(pos, tmp, &sim->faults) {
		struct fault *f = list_entry(pos, struct fault, link);

		if ((f->match != op && (f->match != SIM_ANY || op == SIM_WEBHOOK)) || f->times_left == 0)
			continue;
		if (f->until_us && sim_now_us(sim) >= f->until_us)
			continue;
		/* an answer that is kept is not made again: the switch waits for one that is */
		if (about->replay &&
		    (f->mode == FAULT_500_BEFORE || f->mode == FAULT_500_AFTER || f->mode == FAULT_DECLINE))
			continue;
		if (f->mode == FAULT_DECLINE && op != SIM_CREATE && op != SIM_CONFIRM && op != SIM_CAPTURE &&
		    op != SIM_REFUND)
			continue;
		if (!wanted(f, about) || !drawn(f))
			continue;
		f->times_left--;
		f->hits++;
		*ret = *f;
		return true;
	}
	return false;
}

static void drop_all(struct sim *sim)
{
	list_for_each(pos, tmp, &sim->faults) {
		list_remove(pos);
		free(list_entry(pos, struct fault, link));
	}
}

void faults_free(struct sim *sim)
{
	drop_all(sim);
}

bool faults_list(struct sim_call *c)
{
	struct jw w;

	jw_init(&w, &c->out);
	jw_obj(&w);
	jw_key(&w, "faults");
	jw_arr(&w);
	list_for_each(pos, tmp, &c->sim->faults) {
		const struct fault *f = list_entry(pos, struct fault, link);

		jw_obj(&w);
		jw_kcstr(&w, "match", op_names[f->match]);
		jw_kcstr(&w, "mode", mode_names[f->mode]);
		jw_kint(&w, "times_left", f->times_left);
		jw_kint(&w, "hits", f->hits);
		jw_kint(&w, "ms", f->ms);
		if (f->until_us)
			jw_kint(&w, "seconds_left",
				f->until_us > c->now_us ? (f->until_us - c->now_us) / US_PER_SECOND : 0);
		if (f->probability < 1) {
			jw_key(&w, "probability");
			jw_real(&w, f->probability);
		}
		if (f->intent[0])
			jw_kcstr(&w, "intent", f->intent);
		if (f->metadata_key[0]) {
			jw_key(&w, "metadata");
			jw_obj(&w);
			jw_kcstr(&w, f->metadata_key, f->metadata_value);
			jw_obj_end(&w);
		}
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_kint(&w, "held", !list_empty(&c->sim->held));
	jw_obj_end(&w);
	return jw_done(&w);
}

static void copy(char *to, size_t size, struct str from)
{
	snprintf(to, size, "%.*s", STR_FMT(from));
}

/* How much, how long, and of what: all but match and mode. */
static void read_limits(struct json_in *in, struct fault *f, int64_t now_us)
{
	const json_t *probability = json_in_value(in, "probability", JSON_OPTIONAL);
	const json_t *metadata = json_in_value(in, "metadata", JSON_OPTIONAL), *value;
	int64_t for_s = json_in_i64(in, "for_s", JSON_OPTIONAL, 1, INT64_C(315360000), 0);
	const char *key;
	bool many = probability || for_s;

	f->times_left = json_in_i64(in, "times", JSON_OPTIONAL, 1, FAULT_TIMES_MAX, many ? FAULT_TIMES_MAX : 1);
	f->ms = json_in_i64(in, "ms", JSON_OPTIONAL, 0, 3600000, 0);
	f->chance = (uint64_t)json_in_i64(in, "seed", JSON_OPTIONAL, 0, INT64_C(1) << 53, 1);
	f->until_us = for_s ? now_us + for_s * US_PER_SECOND : 0;
	f->probability = probability ? json_number_value(probability) : 1;
	if (probability && (!json_is_number(probability) || !(f->probability >= 0 && f->probability <= 1)))
		json_in_fault(in, ERR_INVALID_VALUE, "probability", "a number from 0 to 1");
	copy(f->intent, sizeof(f->intent), json_in_str(in, "intent", JSON_OPTIONAL, 1, sizeof(f->intent) - 1));
	if (!metadata)
		return;
	key = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)metadata));
	value = key ? json_object_get(metadata, key) : NULL;
	if (json_object_size(metadata) != 1 || !json_is_string(value) || strlen(key) >= sizeof(f->metadata_key) ||
	    json_string_length(value) >= sizeof(f->metadata_value)) {
		json_in_fault(in, ERR_INVALID_VALUE, "metadata", "an object with one short text");
		return;
	}
	copy(f->metadata_key, sizeof(f->metadata_key), str_from(key));
	copy(f->metadata_value, sizeof(f->metadata_value), str_from(json_string_value(value)));
}

/* Which modes go with which matches. */
static bool fits(struct sim_call *c, const struct fault *f)
{
	bool of_webhooks = f->mode == FAULT_TWICE || f->mode == FAULT_REORDER;

	if (f->mode == FAULT_DECLINE && (f->match == SIM_CANCEL || f->match == SIM_RETRIEVE || f->match == SIM_LIST))
		return refuse_invalid(&c->refusal, NULL, NULL, "/mode: nothing is declined there");
	if (of_webhooks && f->match != SIM_WEBHOOK)
		return refuse_invalid(&c->refusal, NULL, NULL, "/mode: only webhooks come twice or in another order");
	if (f->match == SIM_WEBHOOK && f->mode != FAULT_DROP_BEFORE && f->mode != FAULT_DELAY && !of_webhooks)
		return refuse_invalid(&c->refusal, NULL, NULL,
				      "/mode: a webhook has drop_before, delay, twice and reorder");
	if (f->mode == FAULT_REORDER && (f->times_left > WEBHOOK_REORDER_MAX || f->times_left < 2))
		return refuse_invalid(&c->refusal, NULL, NULL, "/times: from 2 to %d events can change their order",
				      WEBHOOK_REORDER_MAX);
	return true;
}

bool faults_add(struct sim_call *c)
{
	struct error e = {0};
	JSON_AUTO json_t *body = json_read(c->req->body, 4, &e);
	struct json_in in;
	struct fault given = {0}, *f;
	size_t n = 0;
	int op, mode;
	struct str match, mode_name;

	if (!body)
		return sim_wrong_json(c, &e);
	json_in_init(&in, body, "", &e);
	match = json_in_str(&in, "match", JSON_REQUIRED, 1, 40);
	mode_name = json_in_str(&in, "mode", JSON_REQUIRED, 1, 40);
	read_limits(&in, &given, c->now_us);
	op = name_index(op_names, sizeof(op_names) / sizeof(op_names[0]), match);
	mode = name_index(mode_names, FAULT_MODES, mode_name);
	if (op < 0)
		json_in_fault(&in, ERR_INVALID_VALUE, "match",
			      "one of create, confirm, capture, cancel, refund, retrieve, list, webhook, any");
	if (mode < 0)
		json_in_fault(&in, ERR_INVALID_VALUE, "mode",
			      "one of drop_before, drop_after, 500_before, 500_after, delay, hang, hang_after, 429, "
			      "decline, twice, reorder");
	if (!json_in_end(&in))
		return sim_wrong_json(c, &e);
	given.match = (enum sim_op)op;
	given.mode = (enum fault_mode)mode;
	if (!fits(c, &given))
		return false;
	list_for_each(pos, tmp, &c->sim->faults) {
		struct fault *old = list_entry(pos, struct fault, link);

		n++;
		if (old->times_left == 0 && n > FAULTS_MAX / 2) {
			list_remove(pos);
			free(old);
			n--;
		}
	}
	if (n >= FAULTS_MAX)
		return refuse_invalid(&c->refusal, NULL, NULL,
				      "There are too many fault switches: DELETE /_sim/faults first.");
	f = xcalloc(1, sizeof(*f));
	*f = given;
	list_append(&c->sim->faults, &f->link);
	return faults_list(c);
}

bool faults_clear(struct sim_call *c)
{
	drop_all(c->sim);
	sim_release_held(c->sim, true);
	if (c->sim->webhook)
		webhook_unwind(c->sim->webhook);
	return faults_list(c);
}
