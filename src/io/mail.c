/*
 * Owns lanes: each is one connection to the server, with a multi handle of its own, so that how many mails went over a connection is
 * known and when it ends is ours to say. Called by the sender of notifications.
 *
 *   lane:  CLOSED --mail--> BUSY --taken--> KEPT --mail--> BUSY
 *            ^               |               |
 *            +--refused, lost, enough mails--+--idle, client freed
 *
 *   send:  WAITING (no lane is free) --> ON ITS WAY --answer, error, time--> finish(): callback, gone
 *
 * What is known when a mail fails. libcurl tells each command that leaves and each line that comes (its debug callback), so the phase
 * is known: before MAIL FROM nothing of this mail was said; from the server's 354 on its text was on its way, and without an answer to
 * it nobody knows whether the server has it. A kept connection that was lost before that says nothing about the mail: it is said once
 * more on a fresh one.
 *
 * libcurl says QUIT when it closes a connection and waits for the answer, on our thread, for as long as that takes. Before it may
 * (a command was refused; a lane is closed) the socket's reading half is shut: QUIT leaves, and its answer is waited for no more.
 */
#include "io/mail.h"

#include "base/list.h"
#include "base/str.h"
#include "base/xmalloc.h"
#include "io/curl_loop.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORDS_MAX = 512, SOCKETS_MAX = 4, NO_FD = -1 };

enum phase { PHASE_GREETING, PHASE_HELLO, PHASE_TLS, PHASE_LOGIN, PHASE_MAIL, PHASE_RCPT, PHASE_DATA, PHASE_TEXT };

struct lane {
	struct mail_client *client;
	struct curl_loop *curl; /* NULL: CLOSED */
	struct mail_send *send; /* BUSY */
	struct timer *idle;
	int fds[SOCKETS_MAX];
	int mails;
	bool spent; /* to be closed when it is free */
};

struct mail_client {
	struct mail_client_config config;
	char *url, *ca_file, *user, *password;
	bool tls_from_start;
	struct lane *lanes;
	struct list waiting;
	struct deferred *go;
};

struct mail_send {
	struct list link; /* of waiting */
	struct mail_client *client;
	struct lane *lane; /* NULL: it waits */
	CURL *easy;
	struct curl_slist *to;
	char *from;
	bool utf8;
	struct str message;
	size_t sent;
	mail_fn *fn;
	void *arg;
	struct timer *timer;
	int64_t started_us;
	/* the conversation */
	enum phase phase;
	bool again, no_utf8, encrypted;
	bool starttls, auth, smtputf8; /* of the last EHLO */
	int status;		       /* of the last whole reply; 0: none since the last command */
	bool reply_ended;
	struct buf words;
	char error[CURL_ERROR_SIZE];
};

/* ---- lanes ---- */

static void lane_shut_reading(struct lane *l, int how)
{
	for (int i = 0; i < SOCKETS_MAX; i++)
		if (l->fds[i] != NO_FD)
			shutdown(l->fds[i], how);
}

static void lane_close(struct lane *l)
{
	assert(!l->send);
	timer_clear(l->idle);
	lane_shut_reading(l, SHUT_RD);
	curl_loop_free(l->curl);
	l->curl = NULL;
	l->mails = 0;
	l->spent = false;
}

static void on_idle(void *arg)
{
	lane_close(arg);
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct lane *l = arg;

	for (int i = 0; i < SOCKETS_MAX; i++)
		if (l->fds[i] == NO_FD) {
			l->fds[i] = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
			return l->fds[i] < 0 ? CURL_SOCKET_BAD : l->fds[i];
		}
	return CURL_SOCKET_BAD;
}

static int close_socket(void *arg, curl_socket_t fd)
{
	struct lane *l = arg;

	for (int i = 0; i < SOCKETS_MAX; i++)
		if (l->fds[i] == fd)
			l->fds[i] = NO_FD;
	return close(fd);
}

/* ---- the end of a send ---- */

static void send_free(struct mail_send *s)
{
	list_remove(&s->link);
	timer_free(s->timer);
	if (s->easy) {
		curl_multi_remove_handle(curl_loop_multi(s->lane->curl), s->easy);
		curl_easy_cleanup(s->easy);
	}
	curl_slist_free_all(s->to);
	buf_done(&s->words);
	free(s->from);
	free(s);
}

/* The lane is free for the next, not at once: this may run inside its multi. */
static void lane_leave(struct lane *l, bool kept)
{
	l->send = NULL;
	if (!kept || ++l->mails >= l->client->config.mails_per_connection)
		l->spent = true;
	timer_set_ms(l->idle, l->spent ? 0 : l->client->config.idle_ms);
	deferred_post(l->client->go);
}

static void finish(struct mail_send *s, enum mail_status status, const char *error)
{
	struct mail_answer answer = {.status = status, .smtp_status = s->status};
	struct lane *lane = s->lane;
	char words[WORDS_MAX + 1];

	snprintf(words, sizeof(words), "%s", s->status >= 400 ? s->words.p : error);
	for (char *p = words; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7F)
			*p = ' ';
	answer.words = words;
	answer.took_us = loop_now_us(s->client->config.loop) - s->started_us;
	if (s->easy) {
		/* of one that is not through libcurl closes the connection, without QUIT */
		curl_multi_remove_handle(curl_loop_multi(lane->curl), s->easy);
		curl_easy_cleanup(s->easy);
		s->easy = NULL;
		lane_leave(lane, status == MAIL_SENT);
	}
	timer_clear(s->timer);
	list_remove(&s->link);
	s->fn(s->arg, &answer);
	send_free(s);
}

static enum mail_status judge(const struct mail_send *s)
{
	if (s->no_utf8)
		return MAIL_REFUSED;
	if (s->phase < PHASE_MAIL)
		return MAIL_UNREACHABLE;
	if (s->status == 0)
		return s->phase == PHASE_TEXT ? MAIL_UNKNOWN : MAIL_LATER;
	if (s->status == 421)
		return MAIL_LATER; /* the server goes */
	if (s->phase == PHASE_MAIL && s->status != 552 && s->status != 452)
		return MAIL_UNREACHABLE; /* it does not take our sender, which is in every mail */
	return s->status >= 500 ? MAIL_REFUSED : MAIL_LATER;
}

static void send_begin(struct mail_send *s, struct lane *l);

static void on_finished(void *arg, CURL *easy, CURLcode code)
{
	struct mail_send *s = NULL;
	struct lane *l;
	long connects = 0;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&s);
	if (code == CURLE_OK) {
		finish(s, MAIL_SENT, "");
		return;
	}
	curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connects);
	/* a kept connection that the server had given up */
	if (connects == 0 && !s->again && s->phase < PHASE_TEXT && (s->status == 0 || s->status == 421)) {
		l = s->lane;
		curl_multi_remove_handle(curl_loop_multi(l->curl), s->easy);
		curl_easy_cleanup(s->easy);
		s->easy = NULL;
		s->lane = NULL;
		s->again = true;
		lane_leave(l, false);
		list_prepend(&s->client->waiting, &s->link);
		return;
	}
	if (s->no_utf8)
		finish(s, MAIL_REFUSED, "the mail server takes no addresses with letters beyond ASCII (SMTPUTF8)");
	else
		finish(s, judge(s), s->error[0] ? s->error : curl_easy_strerror(code));
}

static void on_timeout(void *arg)
{
	struct mail_send *s = arg;
	char error[80];

	s->status = 0;
	snprintf(error, sizeof(error), "not through within %" PRId64 " ms", s->client->config.timeout_ms);
	finish(s, judge(s), error);
}

/* ---- the conversation, as libcurl tells it ---- */

/* Does libcurl give up over what it has just been told, and say QUIT? */
static bool is_the_end(const struct mail_send *s)
{
	const struct mail_client *c = s->client;
	bool encrypts = !s->encrypted && s->starttls && c->config.tls != MAIL_TLS_OFF;

	if (s->phase == PHASE_HELLO && s->status < 400)
		return (c->config.tls == MAIL_TLS_REQUIRED && !s->encrypted && !s->starttls) ||
		       (c->user && !encrypts && !s->auth);
	if (s->status < 400 || s->phase == PHASE_HELLO) /* it says HELO next */
		return false;
	return s->phase != PHASE_TLS || c->config.tls == MAIL_TLS_REQUIRED;
}

static void hear(struct mail_send *s, struct str line)
{
	bool last = line.n < 4 || line.p[3] != '-';
	uint64_t status;

	if (s->reply_ended) {
		buf_reset(&s->words);
		s->reply_ended = false;
	}
	if (line.n < 3 || !str_to_u64((struct str){line.p, 3}, 999, &status))
		return;
	line.p += line.n > 4 ? 4 : line.n;
	line.n -= line.n > 4 ? 4 : line.n;
	while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == '\n'))
		line.n--;
	if (s->words.n == 0)
		buf_addf(&s->words, "%d", (int)status);
	if (s->words.n + line.n + 2 <= WORDS_MAX) {
		buf_addc(&s->words, ' ');
		buf_addstr(&s->words, line);
	}
	if (s->phase == PHASE_HELLO) {
		s->starttls |= str_ieqc(line, "STARTTLS");
		s->auth |= line.n > 5 && strncasecmp(line.p, "AUTH ", 5) == 0;
		s->smtputf8 |= str_ieqc(line, "SMTPUTF8");
	}
	if (!last)
		return;
	s->reply_ended = true;
	s->status = (int)status;
	if (s->phase == PHASE_DATA && status == 354) {
		s->phase = PHASE_TEXT;
		s->status = 0;
	} else if (is_the_end(s)) {
		lane_shut_reading(s->lane, SHUT_RD);
	}
}

static void say(struct mail_send *s, struct str line)
{
	static const struct {
		const char *verb;
		enum phase phase;
	} verbs[] = {{"EHLO ", PHASE_HELLO}, {"HELO ", PHASE_HELLO}, {"STARTTLS", PHASE_TLS}, {"AUTH ", PHASE_LOGIN},
		     {"MAIL FROM", PHASE_MAIL}, {"RCPT TO", PHASE_RCPT}, {"DATA", PHASE_DATA}};

	if (str_starts(line, STR("QUIT")))
		return; /* what came before it is what counts */
	s->status = 0;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (line.n >= strlen(verbs[i].verb) && memcmp(line.p, verbs[i].verb, strlen(verbs[i].verb)) == 0) {
			s->encrypted |= s->phase == PHASE_TLS && verbs[i].phase == PHASE_HELLO; /* EHLO once more */
			s->phase = verbs[i].phase;
			if (s->phase == PHASE_HELLO)
				s->starttls = s->auth = s->smtputf8 = false;
			if (s->phase == PHASE_MAIL && s->utf8 && !s->smtputf8) {
				/* too late to take the command back, in time for the address */
				s->no_utf8 = true;
				lane_shut_reading(s->lane, SHUT_RDWR);
			}
			return;
		}
}

static int on_debug(CURL *easy, curl_infotype type, char *p, size_t n, void *arg)
{
	struct mail_send *s = arg;
	struct str line = {p, n}, one;

	if (type == CURLINFO_HEADER_OUT)
		say(s, line);
	while (type == CURLINFO_HEADER_IN && line.n) {
		line = str_split(line, '\n', &one);
		hear(s, one);
	}
	return 0;
}

static size_t on_read(char *p, size_t size, size_t n, void *arg)
{
	struct mail_send *s = arg;
	size_t take = s->message.n - s->sent < size * n ? s->message.n - s->sent : size * n;

	memcpy(p, s->message.p + s->sent, take);
	s->sent += take;
	return take;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	return size * n; /* SMTP has none; never to standard output */
}

/* ---- sending ---- */

static void set_security(CURL *easy, const struct mail_client *c)
{
	long use = c->config.tls == MAIL_TLS_REQUIRED ? (long)CURLUSESSL_ALL
		   : c->config.tls == MAIL_TLS_OFF    ? (long)CURLUSESSL_NONE
						      : (long)CURLUSESSL_TRY;

#if LIBCURL_VERSION_NUM >= 0x075500
	CURL_SET(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
#else
	CURL_SET(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_SMTP | CURLPROTO_SMTPS));
#endif
	CURL_SET(easy, CURLOPT_PROXY, "");
	CURL_SET(easy, CURLOPT_USE_SSL, use);
	CURL_SET(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	CURL_SET(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	CURL_SET(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (c->ca_file) {
		CURL_SET(easy, CURLOPT_CAINFO, c->ca_file);
		CURL_SET(easy, CURLOPT_CAPATH, NULL);
	}
	if (c->user) {
		CURL_SET(easy, CURLOPT_USERNAME, c->user);
		CURL_SET(easy, CURLOPT_PASSWORD, c->password);
	}
}

static void send_begin(struct mail_send *s, struct lane *l)
{
	struct mail_client *c = s->client;
	CURL *easy = curl_easy_init();

	if (!easy)
		abort();
	timer_clear(l->idle);
	if (!l->curl) {
		l->curl = curl_loop_new(c->config.loop, on_finished, l);
		curl_multi_setopt(curl_loop_multi(l->curl), CURLMOPT_MAXCONNECTS, 1L);
	}
	l->send = s;
	s->lane = l;
	s->easy = easy;
	s->sent = 0;
	s->phase = PHASE_GREETING;
	s->status = 0;
	s->reply_ended = true;
	s->encrypted = c->tls_from_start;
	s->starttls = s->auth = s->smtputf8 = false;
	s->error[0] = '\0';
	buf_reset(&s->words);
	CURL_SET(easy, CURLOPT_PRIVATE, s);
	CURL_SET(easy, CURLOPT_ERRORBUFFER, s->error);
	CURL_SET(easy, CURLOPT_NOSIGNAL, 1L);
	CURL_SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)c->config.connect_timeout_ms);
#if LIBCURL_VERSION_NUM >= 0x075700
	CURL_SET(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	CURL_SET(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	CURL_SET(easy, CURLOPT_OPENSOCKETDATA, l);
	CURL_SET(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	CURL_SET(easy, CURLOPT_CLOSESOCKETDATA, l);
	CURL_SET(easy, CURLOPT_VERBOSE, 1L);
	CURL_SET(easy, CURLOPT_DEBUGFUNCTION, on_debug);
	CURL_SET(easy, CURLOPT_DEBUGDATA, s);
	CURL_SET(easy, CURLOPT_WRITEFUNCTION, on_body);
	CURL_SET(easy, CURLOPT_UPLOAD, 1L);
	CURL_SET(easy, CURLOPT_READFUNCTION, on_read);
	CURL_SET(easy, CURLOPT_READDATA, s);
	CURL_SET(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)s->message.n);
	CURL_SET(easy, CURLOPT_URL, c->url);
	CURL_SET(easy, CURLOPT_MAIL_FROM, s->from);
	CURL_SET(easy, CURLOPT_MAIL_RCPT, s->to);
	set_security(easy, c);
	/* what the server can is said once a connection: an address that needs it opens one */
	if (s->again || s->utf8)
		CURL_SET(easy, CURLOPT_FRESH_CONNECT, 1L);
	timer_set_ms(s->timer, c->config.timeout_ms);
	if (curl_multi_add_handle(curl_loop_multi(l->curl), easy))
		abort();
}

/* Those that wait are given lanes. Never inside a multi. */
static void go(void *arg)
{
	struct mail_client *c = arg;
	struct mail_send *s;

	for (int i = 0; i < c->config.connections; i++) {
		struct lane *l = &c->lanes[i];

		if (l->send)
			continue;
		if (l->spent)
			lane_close(l);
		s = list_first(&c->waiting, struct mail_send, link);
		if (!s)
			return;
		list_remove(&s->link);
		send_begin(s, l);
	}
}

struct mail_send *mail_send_start(struct mail_client *c, const char *from, const char *to, bool utf8, struct str message,
				  mail_fn *fn, void *arg)
{
	struct mail_send *s = xcalloc(1, sizeof(*s));
	char bracketed[512];

	s->client = c;
	s->utf8 = utf8;
	s->message = message;
	s->fn = fn;
	s->arg = arg;
	s->started_us = loop_now_us(c->config.loop);
	s->timer = timer_new(c->config.loop, on_timeout, s);
	buf_init(&s->words, WORDS_MAX + 8);
	snprintf(bracketed, sizeof(bracketed), "<%s>", from);
	s->from = xstrdup(bracketed);
	snprintf(bracketed, sizeof(bracketed), "<%s>", to);
	s->to = curl_slist_append(NULL, bracketed);
	if (!s->to)
		abort();
	list_init(&s->link);
	list_append(&c->waiting, &s->link);
	deferred_post(c->go);
	return s;
}

void mail_send_cancel(struct mail_send *s)
{
	struct lane *l = s->lane;

	if (l) {
		curl_multi_remove_handle(curl_loop_multi(l->curl), s->easy);
		curl_easy_cleanup(s->easy);
		s->easy = NULL;
		lane_leave(l, false);
	}
	send_free(s);
}

/* ---- the client ---- */

static char *copy(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

struct mail_client *mail_client_new(const struct mail_client_config *config)
{
	struct mail_client *c = xcalloc(1, sizeof(*c));

	assert(config->connections > 0 && config->mails_per_connection > 0 && config->timeout_ms > 0);
	c->config = *config;
	c->url = xstrdup(config->url);
	c->ca_file = copy(config->ca_file);
	c->user = copy(config->user);
	c->password = copy(config->password);
	c->tls_from_start = strncasecmp(config->url, "smtps:", 6) == 0;
	list_init(&c->waiting);
	c->go = deferred_new(config->loop, go, c);
	c->lanes = xcalloc((size_t)config->connections, sizeof(*c->lanes));
	for (int i = 0; i < config->connections; i++) {
		c->lanes[i].client = c;
		c->lanes[i].idle = timer_new(config->loop, on_idle, &c->lanes[i]);
		for (int k = 0; k < SOCKETS_MAX; k++)
			c->lanes[i].fds[k] = NO_FD;
	}
	return c;
}

void mail_client_free(struct mail_client *c)
{
	struct mail_send *s;

	if (!c)
		return;
	for (int i = 0; i < c->config.connections; i++) {
		struct lane *l = &c->lanes[i];

		if (l->send) {
			send_free(l->send);
			l->send = NULL;
		}
		lane_close(l);
		timer_free(l->idle);
	}
	while ((s = list_first(&c->waiting, struct mail_send, link)))
		send_free(s);
	deferred_free(c->go);
	if (c->password)
		explicit_bzero(c->password, strlen(c->password));
	free(c->password);
	free(c->user);
	free(c->ca_file);
	free(c->url);
	free(c->lanes);
	free(c);
}
