/* Owns the tables of kinds and arrows. Called by the sender and by tests. */
#include "notify/kinds.h"

#include "base/times.h"

#include <string.h>
#include <strings.h>

static const struct {
	const char *name;
	int64_t age_us;
	bool tickets, calendar, of_lock;
} kinds[NOTIFY_KINDS] = {
	[NOTIFY_TICKETS] = {"tickets", INT64_MAX, true, true, false},
	[NOTIFY_TRANSFER] = {"transfer", INT64_MAX, true, true, false},
	[NOTIFY_LOOKUP] = {"lookup", US_PER_DAY, false, false, false},
	[NOTIFY_SHOW_CANCELLED] = {"show_cancelled", INT64_MAX, false, false, false},
	[NOTIFY_SHOW_RESCHEDULED] = {"show_rescheduled", INT64_MAX, false, true, false},
	/* a lock lasts minutes; not_after says when exactly */
	[NOTIFY_LOCK_ENDING] = {"lock_ending", 30 * US_PER_MINUTE, false, false, true},
	[NOTIFY_LOCK_ENDED] = {"lock_ended", US_PER_HOUR, false, false, true},
	[NOTIFY_PAYMENT_FAILED] = {"payment_failed", US_PER_DAY, false, false, false},
	[NOTIFY_BOOKING_CONFIRMED] = {"booking_confirmed", INT64_MAX, true, true, false},
	[NOTIFY_BOOKING_CANCELLED] = {"booking_cancelled", INT64_MAX, false, false, false},
	[NOTIFY_REFUNDED] = {"refunded", INT64_MAX, false, false, false},
};

static const char *const states[NOTIFY_STATES] = {"queued", "sent", "failed", "dropped"};

const struct notify_arrow notify_arrows[] = {
	{NOTIFY_QUEUED, NOTIFY_SENT, "notification_sent"},    {NOTIFY_QUEUED, NOTIFY_FAILED, "notification_fail"},
	{NOTIFY_QUEUED, NOTIFY_DROPPED, "notification_drop"}, {NOTIFY_QUEUED, NOTIFY_DROPPED, "notifications_expire"},
	{NOTIFY_FAILED, NOTIFY_QUEUED, "notification_again"},
};
const size_t notify_arrows_n = sizeof(notify_arrows) / sizeof(notify_arrows[0]);

const char *notify_kind_name(enum notify_kind k)
{
	return kinds[k].name;
}

bool notify_kind_parse(struct str name, enum notify_kind *ret)
{
	for (int i = 0; i < NOTIFY_KINDS; i++)
		if (str_eqc(name, kinds[i].name)) {
			*ret = (enum notify_kind)i;
			return true;
		}
	return false;
}

int64_t notify_kind_age_us(enum notify_kind k)
{
	return kinds[k].age_us;
}

bool notify_kind_has_tickets(enum notify_kind k)
{
	return kinds[k].tickets;
}

bool notify_kind_has_calendar(enum notify_kind k)
{
	return kinds[k].calendar;
}

bool notify_kind_is_of_lock(enum notify_kind k)
{
	return kinds[k].of_lock;
}

const char *notify_state_name(enum notify_state s)
{
	return states[s];
}

int64_t notify_delay_us(int attempts)
{
	static const int minutes[] = {1, 5, 15, 60, 120, 240};
	int last = (int)(sizeof(minutes) / sizeof(minutes[0])) - 1, i = attempts < 1 ? 0 : attempts - 1;

	return minutes[i < last ? i : last] * US_PER_MINUTE;
}

enum notify_locale notify_locale_for(struct str tag)
{
	static const char *const others[] = {[NOTIFY_DE] = "de", [NOTIFY_ZH] = "zh"};

	for (int i = NOTIFY_DE; i < NOTIFY_LOCALES; i++)
		if (tag.n >= 2 && strncasecmp(tag.p, others[i], 2) == 0 && (tag.n == 2 || strchr("-_.", tag.p[2])))
			return (enum notify_locale)i;
	return NOTIFY_EN;
}

const char *notify_locale_name(enum notify_locale l)
{
	static const char *const names[] = {"en", "de", "zh"};

	return names[l];
}

static size_t starts_with_any_case(struct str rest, struct str what)
{
	return what.n && rest.n >= what.n && strncasecmp(rest.p, what.p, what.n) == 0 ? what.n : 0;
}

static bool in_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
}

/* What surrounds an address in a sentence. */
static bool ends_address(char c)
{
	return (unsigned char)c <= ' ' || strchr("<>()[],;:\"'", c) != NULL;
}

void notify_words_clean(const char *words, struct str address, char *out, size_t size)
{
	static const char instead[] = "<address>";
	struct str rest = str_from(words), local;
	size_t n = 0;

	str_split(address, '@', &local);
	while (rest.n && n + sizeof(instead) < size) {
		bool begins = rest.p == words || !in_word(rest.p[-1]);
		size_t skip = 0, word = 0;

		if (begins) {
			skip = starts_with_any_case(rest, address);
			if (!skip) {
				while (word < rest.n && !ends_address(rest.p[word]))
					word++;
				/* a word with an @ in it; an enhanced status code or a queue's number has none */
				if (memchr(rest.p, '@', word))
					skip = word;
			}
			if (!skip && local.n >= 2) {
				skip = starts_with_any_case(rest, local);
				if (skip < rest.n && skip && in_word(rest.p[skip]))
					skip = 0;
			}
		}
		if (skip) {
			memcpy(out + n, instead, sizeof(instead) - 1);
			n += sizeof(instead) - 1;
			rest.p += skip;
			rest.n -= skip;
			continue;
		}
		out[n++] = *rest.p++;
		rest.n--;
	}
	/* not in the middle of a character */
	out[n] = '\0';
	while (n && !str_utf8_valid((struct str){out, n}))
		out[--n] = '\0';
}
