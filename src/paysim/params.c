/* Parameters of a call, read and checked one by one; see sim.h. After the first refusal every reader answers false. */
#include "paysim/sim.h"

#include "base/times.h"

#include <string.h>

static bool missing(struct sim_call *c, const char *name)
{
	return refuse_invalid(&c->refusal, "parameter_missing", name, "Missing required param: %s.", name);
}

static bool empty(struct sim_call *c, const char *name)
{
	return refuse_invalid(
		&c->refusal, "parameter_invalid_empty", name,
		"You passed an empty string for '%s'. We assume empty values are an attempt to unset a "
		"parameter; however '%s' cannot be unset. You should remove '%s' from your request or supply a "
		"non-empty value.",
		name, name, name);
}

static bool int_value(struct sim_call *c, const char *name, struct str text, int64_t *ret)
{
	struct str digits = text;
	uint64_t v;
	bool minus = text.n && text.p[0] == '-';

	if (minus)
		digits = (struct str){text.p + 1, text.n - 1};
	if (!str_to_u64(digits, INT64_MAX, &v))
		return refuse_invalid(&c->refusal, "parameter_invalid_integer", name, "Invalid integer: %.*s",
				      text.n > 64 ? 64 : (int)text.n, text.p);
	*ret = minus ? -(int64_t)v : (int64_t)v;
	return true;
}

bool param_int(struct sim_call *c, const char *name, bool required, int64_t absent, int64_t *ret)
{
	const struct form_item *it = form_get(&c->form, name);

	*ret = absent;
	if (!it)
		return !required || missing(c, name);
	if (it->value.n == 0)
		return empty(c, name);
	if (!int_value(c, name, it->value, ret))
		return false;
	/* every number of this interface counts something; "absent" values are negative */
	if (*ret < 0)
		return refuse_invalid(&c->refusal, "parameter_invalid_integer", name,
				      "This value must be greater than or equal to 1.");
	return true;
}

bool param_str(struct sim_call *c, const char *name, bool required, size_t max, struct str *ret)
{
	const struct form_item *it = form_get(&c->form, name);

	*ret = STR_NULL;
	if (!it)
		return !required || missing(c, name);
	if (it->value.n == 0)
		return empty(c, name);
	if (str_utf8_length(it->value) > max)
		return refuse_invalid(&c->refusal, "parameter_invalid_string", name,
				      "Invalid %s: it must be at most %zu characters.", name, max);
	for (size_t i = 0; i < it->value.n; i++)
		if ((unsigned char)it->value.p[i] < 0x20 && it->value.p[i] != '\n')
			return refuse_invalid(&c->refusal, "parameter_invalid_string", name,
					      "Invalid %s: it contains control characters.", name);
	*ret = it->value;
	return true;
}

bool param_bool(struct sim_call *c, const char *name, bool *ret)
{
	const struct form_item *it = form_get(&c->form, name);

	*ret = false;
	if (!it)
		return true;
	*ret = str_eqc(it->value, "true");
	if (!*ret && !str_eqc(it->value, "false"))
		return refuse_invalid(&c->refusal, "parameter_invalid_boolean", name, "Invalid boolean: %.*s",
				      it->value.n > 64 ? 64 : (int)it->value.n, it->value.p);
	return true;
}

bool param_choice(struct sim_call *c, const char *name, const char *const *choices, struct str *ret)
{
	char list[200] = "";
	size_t n = 0;

	if (!param_str(c, name, false, 100, ret))
		return false;
	if (!ret->p)
		return true;
	for (const char *const *p = choices; *p; p++) {
		if (str_eqc(*ret, *p))
			return true;
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "", *p);
	}
	return refuse_invalid(&c->refusal, "parameter_invalid_enum", name, "Invalid %s: must be one of %s", name, list);
}

bool param_metadata(struct sim_call *c, struct str *json)
{
	enum { KEYS = 50, KEY_MAX = 40, VALUE_MAX = 500 };
	const struct form_item *whole = form_get(&c->form, "metadata"), *it;
	json_t *object = NULL;
	size_t pos = 0;
	char *text;
	bool ok = true;

	if (whole && whole->value.n)
		return refuse_invalid(&c->refusal, "parameter_invalid_hash", "metadata", "Invalid object");
	if (json->p && !whole)
		object = json_loadb(json->p, json->n, 0, NULL);
	if (!object)
		object = json_object();
	while (ok && (it = form_each(&c->form, "metadata", &pos))) {
		char key[KEY_MAX * 4 + 1];

		if (it->key[1].n == 0 || str_utf8_length(it->key[1]) > KEY_MAX) {
			ok = refuse_invalid(&c->refusal, NULL, "metadata",
					    "Metadata keys must have between 1 and %d characters.", KEY_MAX);
		} else if (str_utf8_length(it->value) > VALUE_MAX) {
			ok = refuse_invalid(&c->refusal, NULL, "metadata",
					    "Metadata values can have up to %d characters.", VALUE_MAX);
		} else {
			memcpy(key, it->key[1].p, it->key[1].n);
			key[it->key[1].n] = '\0';
			if (it->value.n == 0)
				json_object_del(object, key);
			else
				json_object_set_new(object, key, json_stringn(it->value.p, it->value.n));
		}
	}
	if (ok && json_object_size(object) > KEYS)
		ok = refuse_invalid(&c->refusal, NULL, "metadata", "Metadata can have up to %d keys.", KEYS);
	if (ok) {
		text = json_dumps(object, JSON_COMPACT);
		*json = (struct str){arena_strdup(c->arena, text), strlen(text)};
		free(text);
	}
	json_decref(object);
	return ok;
}

bool param_expand(struct sim_call *c, const char *const *names, bool in_list, unsigned *ret)
{
	const struct form_item *it;
	size_t pos = 0;

	*ret = 0;
	while ((it = form_each(&c->form, "expand", &pos))) {
		struct str want = it->value;
		bool known = false;

		if (in_list && str_starts(want, STR("data.")))
			want = (struct str){want.p + 5, want.n - 5};
		for (int i = 0; names[i]; i++)
			if (str_eqc(want, names[i])) {
				*ret |= 1u << i;
				known = true;
			}
		if (!known)
			return refuse_invalid(&c->refusal, NULL, "expand", "This property cannot be expanded (%.*s).",
					      want.n > 64 ? 64 : (int)want.n, want.p);
	}
	return true;
}

/* Seconds to microseconds, within what int64 holds. */
static bool created_bound(struct sim_call *c, const struct form_item *it, int64_t add_s, int64_t *ret_us)
{
	char name[64];
	int64_t s;

	snprintf(name, sizeof(name), "%.*s", STR_FMT(it->name));
	if (!int_value(c, name, it->value, &s))
		return false;
	if (s < 0 || s > INT64_C(100000000000))
		return refuse_invalid(&c->refusal, "parameter_invalid_integer", name, "Invalid timestamp.");
	*ret_us = (s + add_s) * US_PER_SECOND;
	return true;
}

bool param_page(struct sim_call *c, struct page *ret, struct str *ret_starting_after)
{
	const struct form_item *it;
	int64_t v;

	*ret = (struct page){.before_seq = INT64_MAX, .before_us = INT64_MAX};
	if (!param_int(c, "limit", false, 10, &ret->limit))
		return false;
	if (ret->limit < 1 || ret->limit > 100)
		return refuse_invalid(&c->refusal, "parameter_invalid_integer", "limit",
				      "This value must be between 1 and 100.");
	if (!param_str(c, "starting_after", false, 100, ret_starting_after))
		return false;
	if ((it = form_get(&c->form, "created"))) {
		if (!created_bound(c, it, 0, &ret->from_us))
			return false;
		ret->before_us = ret->from_us + US_PER_SECOND;
	}
	if ((it = form_get_in(&c->form, "created", "gte"))) {
		if (!created_bound(c, it, 0, &v))
			return false;
		ret->from_us = v;
	}
	if ((it = form_get_in(&c->form, "created", "gt"))) {
		if (!created_bound(c, it, 1, &v))
			return false;
		if (v > ret->from_us)
			ret->from_us = v;
	}
	if ((it = form_get_in(&c->form, "created", "lte"))) {
		if (!created_bound(c, it, 1, &v))
			return false;
		ret->before_us = v;
	}
	if ((it = form_get_in(&c->form, "created", "lt"))) {
		if (!created_bound(c, it, 0, &v))
			return false;
		if (v < ret->before_us)
			ret->before_us = v;
	}
	return true;
}

bool params_end(struct sim_call *c)
{
	const struct form_item *it;
	char name[64];

	if (c->refusal.type)
		return false;
	if ((it = form_unused(&c->form))) {
		snprintf(name, sizeof(name), "%.*s", STR_FMT(it->name));
		return refuse_invalid(&c->refusal, "parameter_unknown", name, "Received unknown parameter: %s", name);
	}
	c->executing = true;
	return true;
}
