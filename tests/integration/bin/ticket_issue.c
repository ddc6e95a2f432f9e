/* ticket_issue URL MASTER SHOW BOOKING N: a process that has just started and knows of no key issues tickets for the seats
 * 0..N-1 of a booking at once; prints "ticket seat code" of each once they are committed. */
#include "ticket/ticket_int.h"

#include <stdio.h>
#include <stdlib.h>

struct issue {
	struct ticket_service *tickets;
	struct loop *loop;
	struct uuid show;
	struct buf lines;
	enum pg_status status;
};

static void on_issued(void *arg, const struct pg_answer *a)
{
	struct issue *i = arg;
	char code[TICKET_CODE_TEXT], text[UUID_TEXT];

	if (a->status != PG_OK)
		return;
	for (int row = 0; row < pg_rows(a->result); row++) {
		struct uuid id = pg_get_uuid(a->result, row, TICKET_COL_ID);

		if (ticket_row_code(i->tickets, &i->show, a->result, row, code))
			buf_addf(&i->lines, "%s %d %s\n", uuid_format(&id, text),
				 (int)pg_get_int(a->result, row, TICKET_COL_SEAT), code);
	}
}

static void on_end(void *arg, const struct pg_answer *a)
{
	struct issue *i = arg;

	i->status = a->status;
	if (a->status != PG_OK)
		fprintf(stderr, "ticket_issue: %s %s\n", a->sqlstate, a->message);
	loop_stop(i->loop);
}

int main(int argc, char **argv)
{
	const struct pg_stmt *const *const lists[] = {ticket_sql, NULL};
	struct pg_config pg_config = {.application = "ticket_issue",
				      .shared = 1,
				      .exclusive = 1,
				      .connect_timeout_ms = 5000,
				      .statement_timeout_ms = 10000,
				      .lock_timeout_ms = 10000,
				      .statements = lists};
	struct auth_config auth_config = {.now_us = wall_now_us};
	struct issue i = {.status = PG_NOT_SENT};
	struct uuid booking;
	int32_t seats[100];
	struct arena arena;
	uint64_t n;

	if (argc != 6 || !crypto_init() || !hex_decode(str_from(argv[2]), auth_config.master.b, CRYPTO_KEY) ||
	    !uuid_parse(str_from(argv[3]), &i.show) || !uuid_parse(str_from(argv[4]), &booking) ||
	    !str_to_u64(str_from(argv[5]), 100, &n)) {
		fprintf(stderr, "usage: ticket_issue URL MASTER SHOW BOOKING N\n");
		return 2;
	}
	for (uint64_t s = 0; s < n; s++)
		seats[s] = (int32_t)(n - 1 - s);
	pg_config.url = argv[1];
	i.loop = loop_new();
	buf_init(&i.lines, 1024 * 1024);
	struct pg *pg = pg_new(i.loop, &pg_config);
	auth_config.pg = pg;
	struct auth *auth = auth_new(&auth_config);
	struct ticket_service_config config = {.loop = i.loop, .pg = pg, .auth = auth};
	i.tickets = ticket_service_new(&config);
	struct pg_tx *tx = pg_tx_start(pg, NULL, 10000);

	arena_init(&arena);
	tickets_issue(i.tickets, tx, &arena, &i.show, &booking, seats, n, on_issued, &i);
	arena_done(&arena);
	pg_tx_commit(tx, on_end, &i);
	loop_run(i.loop);
	if (i.status == PG_OK)
		fwrite(i.lines.p, 1, i.lines.n, stdout);
	pg_free(pg);
	ticket_service_free(i.tickets);
	auth_free(auth);
	loop_free(i.loop);
	buf_done(&i.lines);
	return i.status == PG_OK ? 0 : 1;
}
