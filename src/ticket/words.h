/*
 * The words on a ticket, by language. Constant tables; to add a language, add a row in words.c (the compiler checks
 * nothing here, test_when does: no word may be missing).
 */
#ifndef TICKET_WORDS_H
#define TICKET_WORDS_H

#include "base/buf.h"
#include "base/money.h"

struct words {
	const char *tag; /* BCP 47, as short as it can be */
	const char *ticket, *date, *time, *doors, *venue, *zone, *row, *seat, *name, *category, *price, *reference;
	const char *free_of_charge, *accessible;
	const char *n_of_m; /* {1} and {2} */
	const char *at_the_door, *terms, *code, *issued;
	const char *date_pattern; /* W weekday, D day, M month, Y year; other bytes stand for themselves */
	const char *weekdays[7];  /* from Monday */
	const char *months[12];
	bool twelve_hours;
	const char *after_time; /* " Uhr" */
	char decimal;
};

/* Never NULL: the best match, else English. "de_AT.UTF-8" and "de-AT" both find German; zh-TW, zh-HK and zh-Hant the
 * traditional script. locale may be NULL. */
const struct words *words_for(const char *locale);
const struct words *words_at(size_t i); /* NULL past the last */
/* pattern with {1} and {2} replaced */
void words_numbers(const char *pattern, int64_t one, int64_t two, struct buf *out);
/* "45,00 EUR" in German, "45.00 EUR" in English, the word for "free" for 0. */
void words_price(const struct words *w, struct money price, struct buf *out);

#endif
