/*
 * What a mail says: facts turned into the words of its reader (dates in the venue's zone, money by its currency), put into the
 * templates of its kind and language. Pure; a letter may be rendered on the pool, everything it holds is its own.
 *
 * To add a kind: a row in kinds.c, its three files in templates/{en,de,zh}, their names in meson.build. To add a value: a row
 * in letter_values.def and its use in letter_facts. test_letter says what is missing.
 */
#ifndef NOTIFY_LETTER_H
#define NOTIFY_LETTER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/money.h"
#include "notify/kinds.h"

enum letter_value {
#define VALUE(name) LETTER_##name,
#include "notify/letter_values.def"
#undef VALUE
	LETTER_VALUES,
};

struct letter {
	struct arena arena;
	enum notify_kind kind;
	enum notify_locale locale;
	const char *tag;		   /* of dates and money: the reader's, as far as there are templates in it */
	const char *values[LETTER_VALUES]; /* never NULL */
};

struct letter_seat {
	const char *zone, *row, *seat, *category; /* "" when there is none */
	struct money price;			  /* currency NULL: none is said */
};

/* NULL, "" and 0 (of a time: INT64_MIN too) leave a fact out. Strings need not outlive the call. */
struct letter_facts {
	const char *name, *event, *organizer, *venue, *address, *timezone, *reference, *link, *decline_code;
	int64_t starts_at_us, until_us, cancel_until_us, refund_until_us;
	const struct letter_seat *seats;
	size_t n_seats;
	struct money total, refund, fee;
	bool declined, holder, partly; /* holder: of tickets that somebody else paid for */
	bool lost, by_staff, stuck;    /* why a booking ended; a refund that did not get through */
};

struct letter *letter_new(enum notify_kind kind, struct str locale);
void letter_free(struct letter *l); /* NULL is fine */
/* false: the zone is unknown. */
bool letter_facts(struct letter *l, const struct letter_facts *f);

enum letter_part { LETTER_SUBJECT, LETTER_TEXT, LETTER_HTML, LETTER_PARTS };
/* false with a sentence (template.h). */
bool letter_render(const struct letter *l, enum letter_part part, struct buf *out, char error[160]);

/* For tests: the template; p NULL when it is missing. */
struct str letter_template(enum notify_kind kind, enum notify_locale locale, enum letter_part part);
bool letter_names(enum notify_kind kind, enum notify_locale locale, enum letter_part part,
		  void (*fn)(void *arg, struct str name), void *arg, char error[160]);

#endif
