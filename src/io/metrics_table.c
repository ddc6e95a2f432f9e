/* Owns the label values and buckets of the program's metrics. */
#include "io/metrics_table.h"

#include <string.h>

static const char *const route_values[] = {"-", NULL}; /* see metrics_table_fill */
static const char *const status_values[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx", NULL};
static const char *const error_values[] = {"ok",
#define ERR(name, code, status, retryable, sentence) code,
#include "base/errors.def"
#undef ERR
					   NULL};
static const char *const lock_values[] = {
	"locked",      "taken_cache",	  "taken_database", "lock_limit", "not_on_sale",  "invalid", "repeated",
	"unavailable", "outcome_unknown", "overloaded",	    "internal",	  "rate_limited", NULL};
static const char *const limit_values[] = {"requests_per_network", "requests_per_session", "sessions_per_network",
					   "holds_per_session",	   "holds_per_network",	   NULL};
static const char *const stream_end_values[] = {"left", "closed", "slow", "drained", NULL}; /* enum http_stream_end */
static const char *const booking_values[] = {"payment_pending", "confirmed", "cancelled", "failed", NULL};
/* in the order of enum door_reason */
static const char *const checkin_values[] = {"ok",	   "already_used",   "cancelled",   "revoked",
					     "wrong_show", "invalid",	     "unknown_key", "not_yet",
					     "over",	   "show_cancelled", "not_used",    NULL};
static const char *const payment_values[] = {"created", "requires_action", "authorised",     "captured", "failed",
					     "voided",	"abandoned",	   "capture_failed", NULL};
static const char *const step_values[] = {"create", "confirm", "capture", "cancel", "refund", "retrieve", "list", NULL};
static const char *const dependency_values[] = {"postgresql", "redis", "gateway", NULL};
static const char *const duty_values[] = {"sweep", "archive", "audit",	 "settle", "check",    "retention", "orphans",
					  "jobs",  "consume", "notices", "mail",   "webhooks", NULL};
static const char *const consumer_values[] = {
#define CONSUMER(id, name) name,
#include "io/consumers.def"
#undef CONSUMER
	NULL};
static const char *const invariant_values[] = {"I1", "I2", "I3", "I4", "I5", "I6", "I7", NULL};

static const char *const mail_values[] = {"sent", "later", "failed", "dropped", "unknown", "lost", NULL};
static const char *const relay_values[] = {"kafka", "log", NULL};
static const char *const settled_values[] = {"attempt", "refund", NULL};
static const char *const refund_values[] = {"requested", "pending", "succeeded", "failed", NULL};
static const char *const webhook_values[] = {"taken", "ignored",   "repeated",	  "unsigned",	  "forged",
					     "stale", "malformed", "unavailable", "unconfigured", NULL};
static const char *const notice_values[] = {"events", "locks", NULL};
static const char *const hook_values[] = {"delivered", "retried", "failed", NULL};
static const char *const hook_state_values[] = {"fine", "failing", "disabled", "suspended", NULL};
static const char *const scan_values[] = {"complete", "failed", NULL};
static const char *const orphan_values[] = {"fine",
					    "void",
					    "orphan_cancelled",
					    "strange_intent",
					    "orphan_payment",
					    "second_intent",
					    "amount_differs",
					    "capture_missing",
					    NULL};
static const char *const finding_values[] = {"refund_failed",
					     "refund_reversed",
					     "refund_unsettled",
					     "attempt_unsettled",
					     "dispute",
					     "orphan_intent",
					     "orphan_payment",
					     "second_intent",
					     "amount_differs",
					     "capture_missing",
					     "foreign_refund",
					     "other",
					     NULL};

static const double seconds_buckets[] = {0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
					 0.1,	  0.25,	  0.5,	 1,	 2.5,	5,    10,    0};
static const double size_buckets[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 0};

static const struct metric_def table[METRIC_COUNT_OF_ALL] = {
#define METRIC(id, name_, help_, type_, label_, values_, buckets_, label2_, values2_, scale_, max_) \
	[METRIC_##id] = {.name = (name_), \
			 .help = (help_), \
			 .type = (type_), \
			 .label = (label_), \
			 .label_values = (values_), \
			 .buckets = (buckets_), \
			 .label2 = (label2_), \
			 .label2_values = (values2_), \
			 .scale = (scale_), \
			 .max = (max_)},
#include "io/metrics.def"
#undef METRIC
};

int metric_finding_kind(struct str name)
{
	int kind = 0;

	while (kind < FINDING_KINDS - 1 && !str_eqc(name, finding_values[kind]))
		kind++;
	return kind;
}

void metrics_table_fill(struct metric_def *out, const char *const *routes)
{
	memcpy(out, table, sizeof(table));
	for (size_t i = 0; i < METRIC_COUNT_OF_ALL; i++)
		if (out[i].label_values == route_values)
			out[i].label_values = routes;
}
