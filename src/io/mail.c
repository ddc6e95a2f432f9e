/*
 * Owns lanes: each is one connection to the server, an easy handle and, while a mail goes over it, a thread. Called by the sender of
 * notifications.
 *
 *   lane:  CLOSED --mail--> BUSY --taken--> KEPT --mail--> BUSY
 *            ^               |               |
 *            +--- CLOSING <--+--refused, lost, enough mails, idle
 *
 *   send:  WAITING (no lane is free) --> ON ITS WAY --answer, error, time--> on_sent(): callback, gone
 *
 * Why threads: libcurl's SMTP waits for the answer to a mail's text, and for that to QUIT, in the middle of a call, multi interface or
 * not. On the loop a mail server that thinks for ten seconds would stop everything that `work` does for ten seconds. So each lane has a
 * thread of a pool of its own (io/offload). A thread touches its send and its lane's handle, and nothing else; the sockets, which the
 * loop shuts to end a send early, are behind the lane's mutex.
 *
 * What is known when a mail fails. libcurl tells each command that leaves and each line that comes (its debug callback), so the phase
 * is known: before MAIL FROM nothing of this mail was said; from the server's 354 on its text was on its way, and without an answer to
 * it nobody knows whether the server has it. A kept connection that was lost before that says nothing about the mail: it is said once
 * more on a fresh one.
 *
 * After a refusal libcurl closes the connection: it says QUIT and waits for the answer, for as long as it may wait for any. Before it
 * does the socket's reading half is shut: QUIT leaves, and nobody waits.
 */
#include "io/mail.h"

#include "base/list.h"
#include "base/str.h"
#include "base/xmalloc.h"
#include "io/offload.h"

#include <assert.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
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
	CURL *easy; /* NULL: CLOSED. It keeps the connection */
	struct mail_send *send;
	bool closing; /* with send: not free */
	struct timer *idle;
	int mails;
	pthread_mutex_t lock; /* of fds */
	int fds[SOCKETS_MAX];
};

struct mail_client {
	struct mail_client_config config;
	char *url, *ca_file, *user, *password;
	bool tls_from_start;
	struct lane *lanes;
	struct offload *pool; /* as many threads as lanes */
	struct list waiting;
	struct deferred *go;
};

struct mail_send {
	struct list link; /* of waiting */
	struct mail_client *client;
	struct lane *lane; /* NULL: it waits */
	struct offload_job *job;
	struct curl_slist *to;
	char *from, *message;
	size_t message_n, sent;
	bool utf8;
	mail_fn *fn;
	void *arg;
	int64_t started_us;
	atomic_bool cut; /* the loop does not want it any more */
	/* the conversation: the thread's while it is on its way */
	enum phase phase;
	bool no_utf8, encrypted;
	bool starttls, auth, smtputf8; /* of the last EHLO */
	int status;		       /* of the last whole reply; 0: none since the last command */
	bool reply_ended;
	struct buf words;
	CURLcode code;
	char error[CURL_ERROR_SIZE];
};

/* ---- a lane's sockets ---- */

static void lane_shut(struct lane *l, int how)
{
	pthread_mutex_lock(&l->lock);
	for (int i = 0; i < SOCKETS_MAX; i++)
		if (l->fds[i] != NO_FD)
			shutdown(l->fds[i], how);
	pthread_mutex_unlock(&l->lock);
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct lane *l = arg;
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	int i = 0;

	if (fd < 0)
		return CURL_SOCKET_BAD;
	pthread_mutex_lock(&l->lock);
	while (i < SOCKETS_MAX && l->fds[i] != NO_FD)
		i++;
	if (i < SOCKETS_MAX)
		l->fds[i] = fd;
	pthread_mutex_unlock(&l->lock);
	if (i < SOCKETS_MAX)
		return fd;
	close(fd);
	return CURL_SOCKET_BAD;
}

static int close_socket(void *arg, curl_socket_t fd)
{
	struct lane *l = arg;
	int status;

	pthread_mutex_lock(&l->lock);
	for (int i = 0; i < SOCKETS_MAX; i++)
		if (l->fds[i] == fd)
			l->fds[i] = NO_FD;
	status = close(fd);
	pthread_mutex_unlock(&l->lock);
	return status;
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
		lane_shut(s->lane, SHUT_RD);
	}
}

static void say(struct mail_send *s, struct str line)
{
	static const struct {
		const char *verb;
		enum phase phase;
	} verbs[] = {{"EHLO ", PHASE_HELLO}, {"HELO ", PHASE_HELLO},	{"STARTTLS", PHASE_TLS},
		     {"AUTH ", PHASE_LOGIN}, {"MAIL FROM", PHASE_MAIL}, {"RCPT TO", PHASE_RCPT},
		     {"DATA", PHASE_DATA}};

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
				lane_shut(s->lane, SHUT_RDWR);
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
	size_t take = s->message_n - s->sent < size * n ? s->message_n - s->sent : size * n;

	memcpy(p, s->message + s->sent, take);
	s->sent += take;
	return take;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	return size * n; /* SMTP has none; never to standard output */
}

/* ---- sending ---- */

#define SET(easy, option, value) \
	do { \
		CURLcode set_ = curl_easy_setopt((easy), (option), (value)); \
		assert(set_ == CURLE_OK); \
		(void)set_; \
	} while (0)

static void set_security(CURL *easy, const struct mail_client *c)
{
	long use = c->config.tls == MAIL_TLS_REQUIRED ? (long)CURLUSESSL_ALL
		   : c->config.tls == MAIL_TLS_OFF    ? (long)CURLUSESSL_NONE
						      : (long)CURLUSESSL_TRY;

#if LIBCURL_VERSION_NUM >= 0x075500
	SET(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
#else
	SET(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_SMTP | CURLPROTO_SMTPS));
#endif
	SET(easy, CURLOPT_PROXY, "");
	SET(easy, CURLOPT_USE_SSL, use);
	SET(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	SET(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	SET(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (c->ca_file) {
		SET(easy, CURLOPT_CAINFO, c->ca_file);
		SET(easy, CURLOPT_CAPATH, NULL);
	}
	if (c->user) {
		SET(easy, CURLOPT_USERNAME, c->user);
		SET(easy, CURLOPT_PASSWORD, c->password);
	}
}

/* Whoever waits for a server looks up once a second. */
static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	struct mail_send *s = arg;

	return atomic_load(&s->cut);
}

/* On the thread. */
static void send_once(struct mail_send *s, bool fresh)
{
	const struct mail_client *c = s->client;
	CURL *easy = s->lane->easy;

	curl_easy_reset(easy); /* keeps the connection */
	s->sent = 0;
	s->phase = PHASE_GREETING;
	s->status = 0;
	s->reply_ended = true;
	s->encrypted = c->tls_from_start;
	s->starttls = s->auth = s->smtputf8 = false;
	s->error[0] = '\0';
	buf_reset(&s->words);
	SET(easy, CURLOPT_ERRORBUFFER, s->error);
	SET(easy, CURLOPT_NOSIGNAL, 1L);
	SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)c->config.connect_timeout_ms);
	SET(easy, CURLOPT_TIMEOUT_MS, (long)c->config.timeout_ms);
	SET(easy, CURLOPT_MAXCONNECTS, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	SET(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	SET(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(easy, CURLOPT_OPENSOCKETDATA, s->lane);
	SET(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	SET(easy, CURLOPT_CLOSESOCKETDATA, s->lane);
	SET(easy, CURLOPT_VERBOSE, 1L);
	SET(easy, CURLOPT_DEBUGFUNCTION, on_debug);
	SET(easy, CURLOPT_DEBUGDATA, s);
	SET(easy, CURLOPT_NOPROGRESS, 0L);
	SET(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(easy, CURLOPT_XFERINFODATA, s);
	SET(easy, CURLOPT_WRITEFUNCTION, on_body);
	SET(easy, CURLOPT_UPLOAD, 1L);
	SET(easy, CURLOPT_READFUNCTION, on_read);
	SET(easy, CURLOPT_READDATA, s);
	SET(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)s->message_n);
	SET(easy, CURLOPT_URL, c->url);
	SET(easy, CURLOPT_MAIL_FROM, s->from);
	SET(easy, CURLOPT_MAIL_RCPT, s->to);
	set_security(easy, c);
	if (fresh)
		SET(easy, CURLOPT_FRESH_CONNECT, 1L);
	s->code = curl_easy_perform(easy);
}

/* On the thread. */
static void send_run(void *data)
{
	struct mail_send *s = data;
	long connects = 0;

	/* what the server can is said once a connection: an address that needs it opens one */
	send_once(s, s->utf8);
	if (s->code == CURLE_OK || s->no_utf8 || atomic_load(&s->cut))
		return;
	curl_easy_getinfo(s->lane->easy, CURLINFO_NUM_CONNECTS, &connects);
	/* a kept connection that the server had given up */
	if (connects == 0 && s->phase < PHASE_TEXT && (s->status == 0 || s->status == 421))
		send_once(s, true);
}

static void send_free(void *data)
{
	struct mail_send *s = data;

	list_remove(&s->link);
	curl_slist_free_all(s->to);
	buf_done(&s->words);
	free(s->from);
	free(s->message);
	free(s);
}

/* ---- the end of a send ---- */

static enum mail_status judge(const struct mail_send *s)
{
	if (s->code == CURLE_OK)
		return MAIL_SENT;
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

static void say_why(const struct mail_send *s, char words[WORDS_MAX + 16])
{
	if (s->code == CURLE_OK)
		words[0] = '\0';
	else if (s->no_utf8)
		snprintf(words, WORDS_MAX, "the mail server takes no addresses with letters beyond ASCII (SMTPUTF8)");
	else if (s->status >= 400)
		snprintf(words, WORDS_MAX + 16, "%s", s->words.p);
	else if (s->code == CURLE_OPERATION_TIMEDOUT)
		snprintf(words, WORDS_MAX, "not through within %" PRId64 " ms", s->client->config.timeout_ms);
	else
		snprintf(words, WORDS_MAX, "%s", s->error[0] ? s->error : curl_easy_strerror(s->code));
	for (char *p = words; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7F)
			*p = ' ';
}

static void lane_close(struct lane *l);

static void on_sent(void *arg, void *data)
{
	struct mail_send *s = data;
	struct lane *l = s->lane;
	struct mail_answer answer = {.smtp_status = s->status};
	char words[WORDS_MAX + 16];

	if (s->code == CURLE_OPERATION_TIMEDOUT && s->phase >= PHASE_MAIL)
		s->status = answer.smtp_status = 0; /* of a command before */
	answer.status = judge(s);
	say_why(s, words);
	answer.words = words;
	answer.took_us = loop_now_us(s->client->config.loop) - s->started_us;
	l->send = NULL;
	if (s->code != CURLE_OK || ++l->mails >= s->client->config.mails_per_connection)
		lane_close(l);
	else
		timer_set_ms(l->idle, s->client->config.idle_ms);
	deferred_post(s->client->go);
	s->job = NULL;
	if (!atomic_load(&s->cut))
		s->fn(s->arg, &answer);
}

/* ---- lanes ---- */

/* On a thread, or at the very end: says QUIT. */
static void lane_close_run(void *data)
{
	struct lane *l = data;

	lane_shut(l, SHUT_RD);
	curl_easy_cleanup(l->easy);
	l->easy = NULL;
}

static void on_closed(void *arg, void *data)
{
	struct lane *l = data;

	l->closing = false;
	deferred_post(l->client->go);
}

static void lane_close(struct lane *l)
{
	assert(!l->send && !l->closing);
	timer_clear(l->idle);
	l->mails = 0;
	if (!l->easy)
		return;
	l->closing = offload_start(l->client->pool, lane_close_run, l, NULL, on_closed, l) != NULL;
	assert(l->closing); /* there is room for a job of each lane */
}

static void on_idle(void *arg)
{
	lane_close(arg);
}

/* Those that wait are given lanes. */
static void go(void *arg)
{
	struct mail_client *c = arg;
	struct mail_send *s;

	for (int i = 0; i < c->config.connections; i++) {
		struct lane *l = &c->lanes[i];

		if (l->send || l->closing)
			continue;
		s = list_first(&c->waiting, struct mail_send, link);
		if (!s)
			return;
		list_remove(&s->link);
		timer_clear(l->idle);
		if (!l->easy && !(l->easy = curl_easy_init()))
			abort();
		l->send = s;
		s->lane = l;
		s->job = offload_start(c->pool, send_run, s, send_free, on_sent, s);
		assert(s->job);
	}
}

struct mail_send *mail_send_start(struct mail_client *c, const char *from, const char *to, bool utf8,
				  char *message_take, size_t message_n, mail_fn *fn, void *arg)
{
	struct mail_send *s = xcalloc(1, sizeof(*s));
	char bracketed[512];

	s->client = c;
	s->utf8 = utf8;
	s->message = message_take;
	s->message_n = message_n;
	s->fn = fn;
	s->arg = arg;
	s->started_us = loop_now_us(c->config.loop);
	atomic_init(&s->cut, false);
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
	if (!s->lane) {
		send_free(s);
		return;
	}
	/* the thread comes to its end, and on_sent clears away */
	atomic_store(&s->cut, true);
	lane_shut(s->lane, SHUT_RDWR);
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
	/* out of memory is the end of a process, in libraries too (xmalloc.h) */
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, xmalloc, free, xrealloc, xstrdup, xcalloc))
		abort();
	c->pool = offload_new(config->loop, config->connections, 2 * (size_t)config->connections);
	c->lanes = xcalloc((size_t)config->connections, sizeof(*c->lanes));
	for (int i = 0; i < config->connections; i++) {
		c->lanes[i].client = c;
		c->lanes[i].idle = timer_new(config->loop, on_idle, &c->lanes[i]);
		pthread_mutex_init(&c->lanes[i].lock, NULL);
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
	for (int i = 0; i < c->config.connections; i++)
		if (c->lanes[i].send)
			mail_send_cancel(c->lanes[i].send);
	offload_free(c->pool); /* waits for the threads, a second at most; frees what they had */
	for (int i = 0; i < c->config.connections; i++) {
		struct lane *l = &c->lanes[i];

		if (l->easy)
			lane_close_run(l);
		timer_free(l->idle);
		pthread_mutex_destroy(&l->lock);
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
	curl_global_cleanup();
}
