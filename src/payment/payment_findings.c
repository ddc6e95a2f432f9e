/* Owns the findings' statements: what the settling found and a person has to look at. Called by whoever finds something. */
#include "base/times.h"
#include "io/crypto.h"
#include "payment/payment_int.h"
#include "payment/payment_sql.h"

static void finding_args(struct pg_args *args, struct arena *a, const struct payment_finding *f)
{
	static const struct uuid nobody = {{0}};
	struct uuid id = crypto_uuid_v7(wall_now_us());

	pg_args_init(args, a);
	pg_arg_uuid(args, &id);
	pg_arg_text(args, str_from(f->kind));
	pg_arg_text(args, str_from(f->gateway_id));
	pg_arg_uuid(args, f->subject_id ? f->subject_id : &nobody);
	pg_arg_uuid(args, f->show_id);
	pg_arg_uuid(args, f->booking_id);
	pg_arg_i64(args, f->amount_minor);
	pg_arg_text(args, str_from(f->currency));
	pg_arg_text(args, str_from(f->detail));
}

void payment_finding_exec(struct pg_tx *tx, struct arena *a, const struct payment_finding *f, pg_fn *fn, void *arg)
{
	struct pg_args args;

	finding_args(&args, a, f);
	pg_tx_exec(tx, &payment_sql_payment_finding, &args, fn, arg);
}

void payment_finding_query(struct pg *pg, struct arena *a, const struct payment_finding *f, pg_fn *fn, void *arg)
{
	struct pg_args args;

	finding_args(&args, a, f);
	pg_query_start(pg, &payment_sql_payment_finding, &args, PAYMENT_QUERY_MS, fn, arg);
}

void payment_findings_resolve(struct pg *pg, struct arena *a, const char *gateway_id, const struct str *kinds, size_t n,
			      const char *how, pg_fn *fn, void *arg)
{
	struct pg_args args;

	pg_args_init(&args, a);
	pg_arg_text(&args, str_from(gateway_id));
	pg_arg_texts(&args, kinds, n);
	pg_arg_text(&args, str_from(how));
	pg_query_start(pg, &payment_sql_findings_resolve, &args, PAYMENT_QUERY_MS, fn, arg);
}

void payment_void_again_args(struct pg_args *args, struct arena *a, const struct payment_again *again)
{
	struct uuid event_id = crypto_uuid_v7(wall_now_us());

	pg_args_init(args, a);
	pg_arg_uuid(args, &again->show_id);
	pg_arg_uuid(args, &again->payment_id);
	pg_arg_text(args, str_from(again->intent_id));
	pg_arg_uuid(args, &event_id);
	pg_arg_text(args, str_from(again->actor));
	pg_arg_text(args, str_from(again->why));
}
