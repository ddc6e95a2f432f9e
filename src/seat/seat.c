/* Owns the table of a lock's arrows and the reading of what buyers ask. Called by the seat service's API and by tests. */
#include "seat/seat.h"

#include <stdlib.h>
#include <string.h>

static const char *const seat_names[] = {"free", "locked", "booked", "blocked"};
static const char *const lock_names[] = {"active", "released", "expired", "paying", "booked", "abandoned"};

const struct lock_arrow lock_arrows[] = {
	{LOCK_ACTIVE, LOCK_RELEASED, "lock_release"}, {LOCK_ACTIVE, LOCK_RELEASED, "locks_call_off"},
	{LOCK_ACTIVE, LOCK_EXPIRED, "lock_expire"},   {LOCK_ACTIVE, LOCK_PAYING, "lock_pay"},
	{LOCK_PAYING, LOCK_ACTIVE, "lock_unpay"},     {LOCK_PAYING, LOCK_EXPIRED, "lock_unpay"},
	{LOCK_PAYING, LOCK_BOOKED, "lock_book"},      {LOCK_PAYING, LOCK_ABANDONED, "lock_abandon"},
};
const size_t lock_arrows_n = sizeof(lock_arrows) / sizeof(lock_arrows[0]);

const char *seat_state_name(enum seat_state s)
{
	return seat_names[s];
}

const char *lock_state_name(enum lock_state s)
{
	return lock_names[s];
}

bool lock_state_parse(struct str name, enum lock_state *ret)
{
	for (int i = 0; i < LOCK_STATES; i++)
		if (str_eqc(name, lock_names[i])) {
			*ret = (enum lock_state)i;
			return true;
		}
	return false;
}

bool lock_may(enum lock_state from, enum lock_state to)
{
	for (size_t i = 0; i < lock_arrows_n; i++)
		if (lock_arrows[i].from == from && lock_arrows[i].to == to)
			return true;
	return false;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

bool seat_list_read(const json_t *array, const char *path, const struct plan *plan, uint32_t limit, uint32_t *ret_seats,
		    uint32_t *ret_n, struct str *ret_bad_seat, struct error *e)
{
	size_t n = json_array_size(array);
	char at[ERROR_PATH_MAX];

	*ret_bad_seat = STR("");
	if (n == 0)
		return error_set(e, ERR_INVALID_VALUE, path, "At least one seat must be named.");
	if (n > limit)
		return error_set(e, ERR_TOO_MANY_SEATS, path, "At most %u seats; %zu were asked.", limit, n);
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(array, i);
		int64_t seat_no;

		if (!json_is_string(v)) {
			json_pointer_index(at, path, i);
			return error_set(e, ERR_INVALID_REQUEST, at, "A seat is named by a string.");
		}
		*ret_bad_seat = (struct str){json_string_value(v), json_string_length(v)};
		seat_no = plan_seat_by_guid(plan, *ret_bad_seat);
		if (seat_no < 0) {
			json_pointer_index(at, path, i);
			return error_set(e, ERR_UNKNOWN_SEAT, at, "There is no seat \"%.64s\" in this show.",
					 json_string_value(v));
		}
		ret_seats[i] = (uint32_t)seat_no;
	}
	qsort(ret_seats, n, sizeof(*ret_seats), by_number);
	for (size_t i = 1; i < n; i++)
		if (ret_seats[i] == ret_seats[i - 1]) {
			*ret_bad_seat = plan_seat_guid(plan, ret_seats[i]);
			return error_set(e, ERR_DUPLICATE_SEAT, path, "Seat \"%.*s\" is named twice.",
					 STR_FMT(*ret_bad_seat));
		}
	*ret_bad_seat = STR("");
	*ret_n = (uint32_t)n;
	return true;
}

bool email_plausible(struct str s)
{
	const char *at = s.n ? memchr(s.p, '@', s.n) : NULL;

	if (!at || s.n > 254 || at == s.p || at + 1 == s.p + s.n || memchr(at + 1, '@', (size_t)(s.p + s.n - at - 1)))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= 0x20 || s.p[i] == 0x7F || strchr("<>()[]\\,;:\"", s.p[i]))
			return false;
	return at[1] != '.' && s.p[s.n - 1] != '.';
}

struct str email_fold(struct str email, char out[EMAIL_FOLDED_MAX])
{
	size_t n = email.n < EMAIL_FOLDED_MAX - 1 ? email.n : EMAIL_FOLDED_MAX - 1;

	for (size_t i = 0; i < n; i++)
		out[i] = (char)(email.p[i] >= 'A' && email.p[i] <= 'Z' ? email.p[i] + 32 : email.p[i]);
	out[n] = '\0';
	return (struct str){out, n};
}

static void read_best(struct json_in *best, const struct plan *plan, uint32_t limit, struct seat_ask *ret)
{
	struct str name;

	ret->best = true;
	ret->category = -1;
	ret->quantity = (uint32_t)json_in_i64(best, "quantity", JSON_REQUIRED, 1, INT32_MAX, 1);
	if (best->error->code == ERR_NONE && ret->quantity > limit)
		json_in_fault(best, ERR_TOO_MANY_SEATS, "quantity", "At most %u seats in one lock; %u were asked.",
			      limit, ret->quantity);
	name = json_in_str(best, "category", JSON_OPTIONAL, 1, PLAN_NAME_MAX);
	if (name.n && best->error->code == ERR_NONE) {
		ret->category = plan_category_by_name(plan, name);
		if (ret->category < 0)
			json_in_fault(best, ERR_INVALID_VALUE, "category", "This show has no category \"%.64s\".",
				      name.p);
	}
	json_in_end(best);
}

bool seat_ask_read(const json_t *body, const struct plan *plan, uint32_t limit, struct seat_ask *ret,
		   struct str *ret_bad_seat, struct error *e)
{
	struct json_in in, best, notify;
	const json_t *seats;

	memset(ret, 0, sizeof(*ret));
	*ret_bad_seat = STR("");
	json_in_init(&in, body, "", e);
	/* the count is checked by seat_list_read, with an error of its own */
	seats = json_in_array(&in, "seats", JSON_OPTIONAL, 0, SIZE_MAX);
	if (json_in_object(&in, "best", JSON_OPTIONAL, &best))
		read_best(&best, plan, limit, ret);
	json_in_uuid(&in, "replaces", JSON_OPTIONAL, &ret->replaces);
	if (json_in_object(&in, "notify", JSON_OPTIONAL, &notify)) {
		ret->notify_email = json_in_str(&notify, "email", JSON_REQUIRED, 3, 254);
		ret->notify_locale = json_in_str(&notify, "locale", JSON_OPTIONAL, 2, 35);
		if (e->code == ERR_NONE && !email_plausible(ret->notify_email))
			json_in_fault(&notify, ERR_INVALID_VALUE, "email", "\"email\" is not a mail address.");
		if (e->code == ERR_NONE && ret->notify_locale.n && !str_is_language_tag(ret->notify_locale))
			json_in_fault(&notify, ERR_INVALID_VALUE, "locale",
				      "\"locale\" is not a language tag like de or de-AT (BCP 47).");
		json_in_end(&notify);
	}
	if (!json_in_end(&in))
		return false;
	if (!seats && !ret->best)
		return error_set(e, ERR_INVALID_REQUEST, "/seats", "Name \"seats\", or ask for the \"best\".");
	if (seats && ret->best)
		return error_set(e, ERR_INVALID_REQUEST, "/best", "Either \"seats\" or \"best\", not both.");
	return !seats || seat_list_read(seats, "/seats", plan, limit, ret->seats, &ret->n_seats, ret_bad_seat, e);
}

/* ---- the plain form ---- */

static void skip_blanks(struct str *s)
{
	while (s->n && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')) {
		s->p++;
		s->n--;
	}
}

static bool skip_char(struct str *s, char c)
{
	skip_blanks(s);
	if (s->n == 0 || *s->p != c)
		return false;
	s->p++;
	s->n--;
	return true;
}

/* A JSON string of printable ASCII without escapes. */
static bool plain_string(struct str *s, struct str *ret)
{
	size_t i = 0;

	if (!skip_char(s, '"'))
		return false;
	while (i < s->n && s->p[i] != '"' && s->p[i] != '\\' && s->p[i] >= 0x20 && s->p[i] < 0x7F)
		i++;
	if (i == s->n || s->p[i] != '"')
		return false;
	*ret = (struct str){s->p, i};
	s->p += i + 1;
	s->n -= i + 1;
	return true;
}

bool seat_ask_read_plain(struct str body, const struct plan *plan, uint32_t limit, struct seat_ask *ret)
{
	struct str name;

	memset(ret, 0, sizeof(*ret));
	if (!skip_char(&body, '{') || !plain_string(&body, &name) || !str_eq(name, STR("seats")) ||
	    !skip_char(&body, ':') || !skip_char(&body, '['))
		return false;
	do {
		int64_t seat_no;

		if (ret->n_seats == limit || ret->n_seats == SEAT_ASK_MAX || !plain_string(&body, &name))
			return false;
		seat_no = plan_seat_by_guid(plan, name);
		if (seat_no < 0)
			return false;
		ret->seats[ret->n_seats++] = (uint32_t)seat_no;
	} while (skip_char(&body, ','));
	if (!skip_char(&body, ']') || !skip_char(&body, '}'))
		return false;
	skip_blanks(&body);
	qsort(ret->seats, ret->n_seats, sizeof(*ret->seats), by_number);
	for (uint32_t i = 1; i < ret->n_seats; i++)
		if (ret->seats[i] == ret->seats[i - 1])
			return false;
	return body.n == 0;
}
