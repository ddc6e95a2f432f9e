/* What buyers see of the seats, and the rows of --csv. */
#include "drive_onsale.h"

#include "base/xmalloc.h"

#include <inttypes.h>
#include <stdlib.h>

enum { PICKS = 24 };

void map_init(struct map *m, uint32_t n_seats)
{
	*m = (struct map){.n_seats = n_seats,
			  .n_free = n_seats,
			  .taken = xcalloc(n_seats, 1),
			  .free_seats = xcalloc(n_seats, sizeof(*m->free_seats)),
			  .n_listed = n_seats};
	for (uint32_t i = 0; i < n_seats; i++)
		m->free_seats[i] = i;
}

void map_done(struct map *m)
{
	free(m->taken);
	free(m->free_seats);
}

/* Every guid of ours in the text. false: one that this show does not have. */
static bool mark(struct map *m, const char *p, const char *end)
{
	while ((p = memmem(p, (size_t)(end - p), "\"S-", 3))) {
		uint32_t seat = 0;

		for (p += 3; p < end && *p >= '0' && *p <= '9' && seat < m->n_seats; p++)
			seat = seat * 10 + (uint32_t)(*p - '0');
		if (seat >= m->n_seats)
			return false;
		m->taken[seat] = 1;
	}
	return true;
}

bool map_read(struct map *m, struct str body)
{
	static const char name[] = "\"free\":";
	const char *at = memmem(body.p, body.n, name, sizeof(name) - 1), *end = body.p + body.n;
	int64_t n_free = 0;

	if (!at)
		return false;
	for (at += sizeof(name) - 1; at < end && *at >= '0' && *at <= '9'; at++)
		n_free = n_free * 10 + (*at - '0');
	m->n_free = n_free;
	memset(m->taken, 0, m->n_seats);
	if (!mark(m, at, end))
		return false;
	m->n_listed = 0;
	for (uint32_t i = 0; i < m->n_seats; i++)
		if (!m->taken[i])
			m->free_seats[m->n_listed++] = i;
	return true;
}

void map_refused(struct map *m, struct str body)
{
	mark(m, body.p, body.p + body.n);
}

/* n free ones in a row from place i of the list on? */
static bool fits(const struct map *m, uint32_t i, uint32_t n)
{
	if (i + n > m->n_listed || m->free_seats[i + n - 1] != m->free_seats[i] + n - 1)
		return false;
	for (uint32_t k = 0; k < n; k++)
		if (m->taken[m->free_seats[i + k]])
			return false;
	return true;
}

uint32_t map_pick(const struct map *m, uint64_t *rng, uint32_t n, uint32_t *ret_seats)
{
	uint32_t i = 0;

	if (m->n_listed == 0)
		return 0;
	for (; n; n--) {
		for (int tries = 0; tries < PICKS; tries++) {
			i = rng_below(rng, m->n_listed);
			if (fits(m, i, n))
				goto found;
		}
	}
	/* few are left, and most of them were refused to somebody since: any single one */
	for (i = 0; i < m->n_listed; i++)
		if (fits(m, i, 1)) {
			n = 1;
			goto found;
		}
	return 0;
found:
	for (uint32_t k = 0; k < n; k++)
		ret_seats[k] = m->free_seats[i + k];
	return n;
}

/* ---- --csv ---- */

bool onsale_csv_open(struct onsale *s, const char *file)
{
	s->csv = fopen(file, "we");
	if (s->csv)
		fprintf(s->csv, "t_ms,free,locks_ok,locks_refused,bookings,reads,errors,lock_p50_us,lock_p99_us\n");
	return s->csv != NULL;
}

static uint64_t since(uint64_t *last, uint64_t now)
{
	uint64_t n = now - *last;

	*last = now;
	return n;
}

/* Numbers since the row before, except the free seats. */
void onsale_csv_row(struct drive *d, struct onsale *s)
{
	const uint64_t *counters = d->stats.counters;
	uint64_t problems = 0;

	if (!s->csv)
		return;
	for (int i = 0; i < PROBLEMS; i++)
		problems += d->stats.problems[i].n;
	fprintf(s->csv, "%" PRId64 ",%" PRId64, (d->now_us - s->opened_us) / 1000, s->map.n_free);
	fprintf(s->csv, ",%" PRIu64, since(&s->last_ok, counters[LOCKS_OK]));
	fprintf(s->csv, ",%" PRIu64, since(&s->last_refused, counters[LOCKS_REFUSED]));
	fprintf(s->csv, ",%" PRIu64, since(&s->last_bookings, counters[BOOKINGS_OK]));
	fprintf(s->csv, ",%" PRIu64, s->tick_reads);
	fprintf(s->csv, ",%" PRIu64, since(&s->last_problems, problems));
	fprintf(s->csv, ",%" PRIu64 ",%" PRIu64 "\n", hist_percentile(&s->tick_locks, 0.5),
		hist_percentile(&s->tick_locks, 0.99));
	s->tick_reads = 0;
	hist_reset(&s->tick_locks);
}

void onsale_csv_close(struct onsale *s)
{
	if (s->csv)
		fclose(s->csv);
}
