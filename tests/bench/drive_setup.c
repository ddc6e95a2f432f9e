/*
 * Before the start: connections, buyers' sessions, seats that somebody has, connections that say nothing. Requests go out as
 * fast as they are answered; whatever is not as expected ends the program.
 */
#include "drive.h"

#include "base/xmalloc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { SETUP_TIMEOUT_US = 60 * 1000 * 1000, SEATS_PER_TAKEN = 10 };

/* One request after another on every connection until all of them are answered. */
static bool ask_all(struct drive *d, const struct talk *talk, uint32_t n)
{
	int64_t until_us = clock_us() + SETUP_TIMEOUT_US;

	d->talk = talk;
	for (d->setup_at = 0; stats_clean(&d->stats) && (d->setup_at < n || d->conns.n_waiting);
	     loop_turn(d, until_us)) {
		while (d->setup_at < n && d->conns.n_idle) {
			struct intent in = {.actor = d->setup_at++, .collect = n == 1};

			drive_submit(d, &in);
		}
		if (d->now_us >= until_us)
			problem(d, PROBLEM_UNFINISHED, "The preparation took more than %d s.",
				SETUP_TIMEOUT_US / 1000000);
		if (d->interrupted)
			problem(d, PROBLEM_UNFINISHED, "Interrupted within the preparation.");
	}
	d->talk = &d->scenario->talk;
	return stats_clean(&d->stats);
}

bool setup_connections(struct drive *d)
{
	int64_t until_us = clock_us() + SETUP_TIMEOUT_US;

	conns_reopen(&d->conns);
	while (stats_clean(&d->stats) && d->conns.n_idle < d->conns.n) {
		loop_turn(d, until_us);
		if (d->now_us >= until_us || d->interrupted)
			problem(d, PROBLEM_UNFINISHED, "%d of %d connections opened.", d->conns.n_idle, d->conns.n);
	}
	return stats_clean(&d->stats);
}

/* ---- sessions ---- */

static size_t session_request(struct drive *d, const struct intent *in, char *out)
{
	char *at = PUT(out, "POST /v1/sessions");

	return (size_t)(put_fields(at, d->o->host, "", NULL, "{}", 2) - out);
}

static void session_answer(struct drive *d, const struct intent *in, const struct answer *a)
{
	struct str token;

	if (a->status == 0)
		return;
	if (a->status != 201 || !ANSWER_TEXT(a, "token", &token) || token.n >= TOKEN_TEXT) {
		problem(d, PROBLEM_ANSWER, "POST /v1/sessions -> %d %.*s", a->status, STR_FMT(a->body));
		return;
	}
	*put(d->tokens[d->n_tokens++], token.p, token.n) = '\0';
}

bool setup_sessions(struct drive *d, uint32_t n)
{
	static const struct talk talk = {session_request, session_answer};

	d->tokens = xreallocarray(d->tokens, d->n_tokens + n, sizeof(*d->tokens));
	return ask_all(d, &talk, n);
}

const char *next_token(struct drive *d, uint32_t *ret_session)
{
	*ret_session = d->token_at++;
	if (d->token_at == d->n_tokens)
		d->token_at = 0;
	return d->tokens[*ret_session];
}

/* ---- seats that are taken ---- */

/* The buyers of these are the last of d->tokens: one for each lock, because a buyer may hold only a few. */
static size_t taken_request(struct drive *d, const struct intent *in, char *out)
{
	uint32_t seats[SEATS_PER_TAKEN], n, taken = (uint32_t)d->o->taken, at = in->actor * SEATS_PER_TAKEN;

	for (n = 0; n < SEATS_PER_TAKEN && at + n < taken; n++)
		seats[n] = at + n;
	return (size_t)(put_lock(out, &d->shows.all[0], d->o->host, d->tokens[d->n_tokens - 1 - in->actor], NULL, seats,
				 n) -
			out);
}

static uint32_t seats_named(const struct answer *a)
{
	uint32_t n = 0;

	for (const char *p = a->body.p, *end = p + a->body.n; (p = memmem(p, (size_t)(end - p), "\"S-", 3)); p += 3)
		n++;
	return n;
}

static void taken_answer(struct drive *d, const struct intent *in, const struct answer *a)
{
	uint32_t left = (uint32_t)d->o->taken - in->actor * SEATS_PER_TAKEN;

	if (a->status == 0 || a->status == 201)
		return;
	/* all of them are somebody's already, which is as good */
	if (a->status == 409 && seats_named(a) == (left < SEATS_PER_TAKEN ? left : SEATS_PER_TAKEN))
		return;
	problem(d, PROBLEM_ANSWER, "POST /v1/shows/%s/locks, to take seats before the start -> %d %.*s",
		d->shows.all[0].id, a->status, STR_FMT(a->body));
}

bool setup_taken(struct drive *d, uint32_t n)
{
	static const struct talk talk = {taken_request, taken_answer};
	uint32_t locks = (n + SEATS_PER_TAKEN - 1) / SEATS_PER_TAKEN, buyers = d->n_tokens;
	bool ok;

	if (n > d->shows.all[0].n_seats) {
		problem(d, PROBLEM_SCENARIO, "--taken %u is more than the %u seats of the first show.", n,
			d->shows.all[0].n_seats);
		return false;
	}
	ok = setup_sessions(d, locks) && ask_all(d, &talk, locks);
	d->n_tokens = buyers; /* they take part in nothing else */
	d->shows.all[0].first = d->shows.all[0].cursor = n;
	return ok;
}

/* ---- where seats are sold for good ---- */

/* One show at a time: its number is in setup_show. */
static size_t map_request(struct drive *d, const struct intent *in, char *out)
{
	char *at = PUT(out, "GET /v1/shows/");

	at = put(at, d->shows.all[d->setup_show].id, UUID_TEXT - 1);
	at = PUT(at, "/seats");
	return (size_t)(put_fields(at, d->o->host, "", NULL, NULL, 0) - out);
}

static void map_answer(struct drive *d, const struct intent *in, const struct answer *a)
{
	struct show *show = &d->shows.all[d->setup_show];
	const char *p = a->body.p, *end = p + a->body.n;

	if (a->status == 0)
		return;
	if (a->status != 200 || !a->whole) {
		problem(d, PROBLEM_ANSWER, "GET /v1/shows/%s/seats -> %d %.*s", show->id, a->status,
			(int)(a->body.n < 200 ? a->body.n : 200), a->body.n ? a->body.p : "");
		return;
	}
	while ((p = memmem(p, (size_t)(end - p), "\"S-", 3))) {
		uint32_t seat = 0;

		for (p += 3; p < end && *p >= '0' && *p <= '9' && seat < show->n_seats; p++)
			seat = seat * 10 + (uint32_t)(*p - '0');
		if (seat >= show->cursor)
			show->cursor = seat + 1;
	}
}

bool setup_walks(struct drive *d)
{
	static const struct talk talk = {map_request, map_answer};

	for (d->setup_show = 0; d->setup_show < d->shows.n; d->setup_show++)
		if (!ask_all(d, &talk, 1))
			return false;
	return true;
}

/* ---- connections that say nothing ---- */

bool idle_open(struct drive *d)
{
	int64_t until_us = clock_us() + SETUP_TIMEOUT_US;
	struct epoll_event event = {.events = EPOLLOUT | EPOLLET}, events[256];

	if (d->o->idle == 0)
		return true;
	d->n_idle = (uint32_t)d->o->idle;
	d->idle_epfd = epoll_create1(EPOLL_CLOEXEC);
	d->idle_fds = xcalloc(d->n_idle, sizeof(*d->idle_fds));
	for (uint32_t i = 0, n_asked = 0; d->n_idle_open < d->n_idle;) {
		int n;

		/* no more at a time than a queue of accepts holds */
		while (n_asked < d->n_idle && n_asked - d->n_idle_open < 256) {
			d->idle_fds[n_asked] = conn_socket(d->o, (int)n_asked + d->conns.n);
			if (d->idle_fds[n_asked] < 0) {
				problem(d, PROBLEM_CONNECT, "connection %u of --idle %u: %s", n_asked + 1, d->n_idle,
					strerror(errno));
				d->n_idle = n_asked;
				return false;
			}
			event.data.u32 = n_asked;
			epoll_ctl(d->idle_epfd, EPOLL_CTL_ADD, d->idle_fds[n_asked++], &event);
		}
		n = epoll_wait(d->idle_epfd, events, 256, 1000);
		for (i = 0; (int)i < n; i++) {
			struct epoll_event quiet = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data = events[i].data};

			if (events[i].events & (EPOLLERR | EPOLLHUP))
				problem(d, PROBLEM_CONNECT, "a connection of --idle was refused");
			d->n_idle_open++;
			epoll_ctl(d->idle_epfd, EPOLL_CTL_MOD, d->idle_fds[events[i].data.u32], &quiet);
		}
		if (clock_us() > until_us)
			problem(d, PROBLEM_CONNECT, "%u of --idle %u opened in time", d->n_idle_open, d->n_idle);
		if (!stats_clean(&d->stats))
			return false;
	}
	fprintf(stderr, "idle_open: %u\n", d->n_idle_open);
	return true;
}

void idle_look(struct drive *d)
{
	struct epoll_event events[64];
	int n = epoll_wait(d->idle_epfd, events, 64, 0);

	for (int i = 0; i < n; i++) {
		d->n_idle_open--;
		problem(d, PROBLEM_IDLE, "%u of %u are left.", d->n_idle_open, d->n_idle);
		epoll_ctl(d->idle_epfd, EPOLL_CTL_DEL, d->idle_fds[events[i].data.u32], NULL);
	}
}

void idle_close(struct drive *d)
{
	for (uint32_t i = 0; i < d->n_idle; i++)
		if (d->idle_fds[i] > 0)
			close(d->idle_fds[i]);
	if (d->idle_fds)
		close(d->idle_epfd);
	free(d->idle_fds);
}
