/*
 * What was asked for on the command line, checked.
 */
#ifndef BENCH_DRIVE_OPTIONS_H
#define BENCH_DRIVE_OPTIONS_H

#include "base/buf.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { SEATS_MAX = 10, HEADERS_MAX = 16 };

struct options {
	const char *scenario;
	union {
		struct sockaddr any;
		struct sockaddr_un local;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address;
	socklen_t address_n;
	char host[120]; /* for the Host header */

	const char *shows_file;
	int connections, idle, sessions, seats;
	int warmup_ms, seconds_ms, timeout_ms, quantum_us; /* quantum_us < 0: by the rate */
	double rate;					   /* arrivals a second */
	bool constant;					   /* arrivals in equal distances, not Poisson */
	uint64_t seed;
	bool realtime;

	bool ramp;
	int p99_ms, step_ms, steps;

	const char *path;
	const char *headers[HEADERS_MAX];
	int n_headers;
	int expect; /* 0: 200 or 304 */

	bool key;
	double allow_refused; /* share */
	int hot, taken, patience_ms;
	double losers; /* per winner */

	int buyers, open_ms, think_ms, tries;
	double pay_share, leave_share;
	const char *csv;
};

enum options_result { OPTIONS_OK, OPTIONS_HELP, OPTIONS_WRONG };

/* names: of the scenarios, one line each, for the help. OPTIONS_HELP and OPTIONS_WRONG: ret_text is what to print.
 * argv must outlive ret. */
enum options_result options_read(int argc, char **argv, const char *names, struct options *ret, struct buf *ret_text);

#endif
