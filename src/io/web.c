/*
 * Owns the route table and the calls. Routes are found by a linear walk over compiled segments grouped by their number:
 * with fewer than 200 routes that costs less than building anything cleverer per request.
 */
#include "io/web_int.h"

#include "base/xmalloc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SEGMENTS_MAX = 10,
	BODY_MAX_DEFAULT = 64 * 1024,
	ANSWER_BYTES_MAX = 64 * 1024 * 1024,
	SPARE_BYTES_MAX = 16 * 1024
};

enum segment_kind { SEGMENT_LITERAL, SEGMENT_UUID, SEGMENT_TEXT };

struct segment {
	enum segment_kind kind;
	struct str text; /* literal; or what must follow a {name} within the segment (".pdf") */
};

struct compiled {
	const struct web_route *route;
	void *service_arg;
	int n;
	struct segment segments[SEGMENTS_MAX];
};

struct web {
	struct web_config config;
	struct compiled routes[WEB_ROUTES_MAX];
	size_t n;
	struct buf spare; /* of an answered call, for the next one's answer */
	/* what web_body_limit has found for the request it was asked about last: web_handle need not look again */
	struct {
		struct uuid request;
		struct compiled *route;
		struct str values[WEB_PARAMS_MAX + 1];
	} found;
};

struct web *web_new(const struct web_config *config)
{
	struct web *w = xcalloc(1, sizeof(*w));

	w->config = *config;
	buf_init(&w->spare, ANSWER_BYTES_MAX);
	if (!w->config.json_body_max)
		w->config.json_body_max = BODY_MAX_DEFAULT;
	return w;
}

const struct web_config *web_settings(const struct web_call *call)
{
	return &call->web->config;
}

void web_free(struct web *w)
{
	if (w)
		buf_done(&w->spare);
	free(w);
}

static void compile(struct compiled *c, const struct web_route *route)
{
	struct str rest = str_from(route->pattern + 1), part;

	c->route = route;
	while (rest.n || c->n == 0) {
		struct segment *s = &c->segments[c->n++];

		assert(c->n <= SEGMENTS_MAX);
		rest = str_split(rest, '/', &part);
		if (part.n && part.p[0] == '{') {
			const char *end = memchr(part.p, '}', part.n);

			assert(end);
			s->kind = end[-1] == '*' ? SEGMENT_TEXT : SEGMENT_UUID;
			s->text = (struct str){end + 1, (size_t)(part.p + part.n - end - 1)};
		} else {
			s->kind = SEGMENT_LITERAL;
			s->text = part;
		}
	}
}

void web_add(struct web *w, enum web_service service, const struct web_route *routes, size_t n, void *service_arg)
{
	if (!(service & (w->config.services | SERVICE_ALWAYS)))
		return;
	for (size_t i = 0; i < n; i++) {
		struct compiled *c = &w->routes[w->n++];

		assert(w->n <= WEB_ROUTES_MAX);
		memset(c, 0, sizeof(*c));
		compile(c, &routes[i]);
		c->service_arg = service_arg;
	}
}

size_t web_route_count(const struct web *w)
{
	return w->n;
}

const struct web_route *web_route_at(const struct web *w, size_t i)
{
	return w->routes[i].route;
}

/* Splits the path at '/'; false when it has more parts than any route. "/" is one empty part. */
static bool split_path(struct str path, struct str *parts, int *ret_n)
{
	int n = 0;

	if (path.n == 0 || path.p[0] != '/')
		return false;
	path.p++;
	path.n--;
	for (;;) {
		const char *slash = path.n ? memchr(path.p, '/', path.n) : NULL;

		if (n == SEGMENTS_MAX)
			return false;
		parts[n].p = path.p;
		parts[n++].n = slash ? (size_t)(slash - path.p) : path.n;
		if (!slash)
			break;
		path.n -= (size_t)(slash - path.p) + 1;
		path.p = slash + 1;
	}
	*ret_n = n;
	return true;
}

/* Of a segment with a name in it. */
static bool segment_matches(const struct segment *s, struct str part, struct str *ret_value)
{
	struct uuid id;

	if (part.n <= s->text.n || !str_eq((struct str){part.p + part.n - s->text.n, s->text.n}, s->text))
		return false;
	*ret_value = (struct str){part.p, part.n - s->text.n};
	return s->kind == SEGMENT_TEXT || uuid_parse(*ret_value, &id);
}

static bool path_matches(const struct compiled *c, const struct str *parts, int n, struct str *values)
{
	int v = 0;

	if (c->n != n)
		return false;
	/* words first: they tell routes apart, and cost less than reading an id */
	for (int i = 0; i < n; i++)
		if (c->segments[i].kind == SEGMENT_LITERAL && !str_eq(c->segments[i].text, parts[i]))
			return false;
	for (int i = 0; i < n; i++) {
		if (c->segments[i].kind == SEGMENT_LITERAL)
			continue;
		if (!segment_matches(&c->segments[i], parts[i], &values[v]))
			return false;
		v++;
	}
	return true;
}

/* GET routes answer HEAD too. */
static bool method_matches(const struct web_route *r, enum http_method m)
{
	return r->method == m || (r->method == HTTP_GET && m == HTTP_HEAD);
}

static struct compiled *find(struct web *w, const struct http_req *req, struct str *values, unsigned *ret_methods)
{
	struct str parts[SEGMENTS_MAX];
	int n;

	*ret_methods = 0;
	if (!split_path(req->path, parts, &n))
		return NULL;
	for (size_t i = 0; i < w->n; i++) {
		struct compiled *c = &w->routes[i];

		if (c->n != n || !path_matches(c, parts, n, values))
			continue;
		*ret_methods |= 1u << c->route->method;
		if (method_matches(c->route, req->method))
			return c;
	}
	return NULL;
}

size_t web_body_limit(void *web, const struct http_req *req)
{
	struct web *w = web;
	unsigned methods;
	const struct compiled *c = w->found.route = find(w, req, w->found.values, &methods);

	w->found.request = req->id;
	return c && c->route->body_max ? c->route->body_max : w->config.json_body_max;
}

static void problem_head(struct jw *json, enum err code, const char *detail, const struct uuid *request_id)
{
	const struct err_info *info = err_info(code);

	jw_obj(json);
	jw_kcstr(json, "type", "about:blank");
	jw_kcstr(json, "title", info->sentence);
	jw_kint(json, "status", info->http_status);
	jw_kcstr(json, "code", info->code);
	jw_kcstr(json, "detail", detail && *detail ? detail : info->sentence);
	jw_kuuid(json, "request_id", request_id);
}

void web_error_body(void *web, enum err code, const char *detail, const struct uuid *request_id, struct buf *out)
{
	struct jw json;

	jw_init(&json, out);
	problem_head(&json, code, detail, request_id);
	jw_obj_end(&json);
	jw_done(&json);
}

void web_done(void *web, struct http_req *req, int status, size_t bytes_out)
{
	struct web *w = web;
	struct web_call *call = req->user_p;
	struct web_call none = {.req = req, .arena = req->arena, .route_index = -1, .web = w};

	if (w->config.done)
		w->config.done(w->config.done_arg, call ? call : &none, status, bytes_out);
}

/* JSON only: a form posted from another site cannot claim it. */
static bool content_type_is_json(const struct http_req *req)
{
	const struct str *type = http_req_header(req, "content-type");
	struct str media;

	if (!type)
		return false;
	str_split(*type, ';', &media);
	return str_ieqc(str_trim(media), "application/json");
}

static void refuse_method(struct web_call *call, unsigned methods)
{
	char allow[80] = "";
	struct http_header header;

	for (int m = 0; m < HTTP_METHODS; m++)
		if (methods & 1u << m) {
			size_t n = strlen(allow);

			snprintf(allow + n, sizeof(allow) - n, "%s%s%s", n ? ", " : "", http_method_name(m),
				 m == HTTP_GET ? ", HEAD" : "");
		}
	header = (struct http_header){STR("Allow"), str_from(allow)};
	call->refused = ERR_METHOD_NOT_ALLOWED;
	buf_reset(&call->out);
	web_error_body(call->web, ERR_METHOD_NOT_ALLOWED, NULL, &call->req->id, &call->out);
	struct http_header headers[] = {{STR("Content-Type"), STR("application/problem+json")}, header};
	web_bytes(call, 405, headers, 2, buf_str(&call->out));
}

/* ---- from a request to its handler ---- */

void web_handle(void *web, struct http_req *req)
{
	struct web *w = web;
	struct web_call *call = arena_new(req->arena, struct web_call);
	struct str values[WEB_PARAMS_MAX + 1];
	struct compiled *c;
	unsigned methods;
	int ids = 0, texts = 0, v = 0;

	call->req = req;
	call->arena = req->arena;
	call->web = w;
	call->route_index = -1;
	web_limits_begin(call);
	call->out = w->spare;
	buf_init(&w->spare, ANSWER_BYTES_MAX);
	buf_reset(&call->out);
	req->user_p = call;
	if (!web_limit_network(call, LIMIT_REQUESTS_NETWORK))
		return;
	if (w->found.route && uuid_eq(&w->found.request, &req->id)) {
		c = w->found.route;
		memcpy(values, w->found.values, sizeof(values));
	} else {
		c = find(w, req, values, &methods);
	}
	if (!c) {
		if (methods)
			refuse_method(call, methods);
		else
			web_refuse(call, ERR_NOT_FOUND, "There is nothing at this address.");
		return;
	}
	call->route = c->route;
	call->route_index = (int)(c - w->routes);
	call->service = c->service_arg;
	const char *why = w->config.closed ? w->config.closed(w->config.closed_arg, call) : NULL;

	if (why) {
		call->retry_after_s = w->config.closed_retry_s;
		web_refuse(call, ERR_UNAVAILABLE, why);
		return;
	}
	if (c->route->full && c->route->full(c->service_arg)) {
		web_refuse(call, ERR_OVERLOADED, NULL);
		return;
	}
	for (int i = 0; i < c->n; i++) {
		if (c->segments[i].kind == SEGMENT_UUID)
			uuid_parse(values[v++], &call->ids[ids++]);
		else if (c->segments[i].kind == SEGMENT_TEXT &&
			 !http_unescape(req->arena, values[v++], false, &call->texts[texts++])) {
			web_refuse(call, ERR_NOT_FOUND, "There is nothing at this address.");
			return;
		}
	}
	if (req->body.n && !c->route->raw_body && !content_type_is_json(req)) {
		web_refuse(call, ERR_UNSUPPORTED_MEDIA, NULL);
		return;
	}
	if (!web_query_known(call))
		return;
	w->config.identify(w->config.identify_arg, call);
}

/* A browser sends Origin with every POST; one that is not ours means another site is speaking with the buyer's cookie. */
static bool origin_is_ours(const struct web_call *call)
{
	const struct str *origin = http_req_header(call->req, "origin");
	const struct str *host = http_req_header(call->req, "host");
	struct str at;

	if (!origin || !host)
		return false;
	at = *origin;
	if (str_starts(at, STR("https://")))
		at = (struct str){at.p + 8, at.n - 8};
	else if (str_starts(at, STR("http://")))
		at = (struct str){at.p + 7, at.n - 7};
	else
		return false;
	return str_eq(at, *host);
}

bool web_from_elsewhere(const struct web_call *call)
{
	return http_req_header(call->req, "origin") && !origin_is_ours(call);
}

/* Whoever writes as staff leaves a row, whichever route it is: a new route is in the log without doing anything for it. */
static bool is_staff_write(const struct web_call *call)
{
	return call->who.kind == WHO_STAFF && call->route->method != HTTP_GET;
}

void web_audited(struct web_call *call, enum err err)
{
	if (err != ERR_NONE) {
		web_refuse(call, err, NULL);
		return;
	}
	call->audited = true;
	call->route->handler(call);
}

/* Who asks may do this now. */
static void permitted(struct web_call *call)
{
	if (call->web->config.audit && call->route->audit == WEB_AUDIT_AHEAD && is_staff_write(call))
		call->web->config.audit(call->web->config.audit_arg, call);
	else
		call->route->handler(call);
}

void web_identified(struct web_call *call, const struct who *who, enum err err)
{
	const struct web_route *r = call->route;

	if (err != ERR_NONE) {
		web_refuse(call, err, NULL);
		return;
	}
	if (who)
		call->who = *who;
	if (call->who.by_cookie && r->method != HTTP_GET && !origin_is_ours(call)) {
		web_refuse(call, ERR_FORBIDDEN,
			   "A request with the cookie must come from this site's own pages (Origin).");
		return;
	}
	if (r->need == WEB_SESSION && call->who.kind != WHO_SESSION) {
		web_refuse(call, ERR_UNAUTHENTICATED,
			   "This needs a session: POST /v1/sessions, then Authorization: Bearer <token>.");
		return;
	}
	if (r->need == WEB_STAFF && call->who.kind != WHO_STAFF) {
		web_refuse(call, ERR_UNAUTHENTICATED, "This needs a staff token: Authorization: Bearer <token>.");
		return;
	}
	if (r->need == WEB_STAFF && (call->who.scopes & r->scope) != r->scope) {
		web_refuse(call, ERR_FORBIDDEN, NULL);
		return;
	}
	if (!web_limit_session(call))
		return;
	if (r->verify != WEB_VERIFY_NOTHING && call->web->config.verify)
		call->web->config.verify(call->web->config.verify_arg, call);
	else
		permitted(call);
}

void web_verified(struct web_call *call, enum err err, const char *detail)
{
	if (err != ERR_NONE)
		web_refuse(call, err, detail);
	else
		permitted(call);
}

/* A route that promised to write its row itself has done so, or the answer is a refusal. */
void web_note_answer(struct web_call *call, int status)
{
	assert(!call->answered);
	assert(!call->web->config.audit || status >= 300 || !call->route || !is_staff_write(call) || call->audited);
	call->answered = true;
	call->status = status;
}

static bool names_cache_control(const struct http_header *headers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_ieqc(headers[i].name, "cache-control"))
			return true;
	return false;
}

size_t web_with_defaults(struct http_header *out, const struct http_header *headers, size_t n, struct str type)
{
	size_t k = 0;

	assert(n <= 8);
	if (type.n)
		out[k++] = (struct http_header){STR("Content-Type"), type};
	if (!names_cache_control(headers, n))
		out[k++] = (struct http_header){STR("Cache-Control"), STR("no-store")};
	out[k++] = (struct http_header){STR("X-Content-Type-Options"), STR("nosniff")};
	for (size_t i = 0; i < n; i++)
		out[k++] = headers[i];
	return k;
}

/* The call is gone with its request's arena; its buffer serves the next one. */
void web_keep_buffer(struct web *w, struct buf *out)
{
	if (!w->spare.p && out->cap <= SPARE_BYTES_MAX)
		w->spare = *out;
	else
		buf_done(out);
}

void web_bytes(struct web_call *call, int status, const struct http_header *headers, size_t n, struct str body)
{
	struct http_header all[12];
	struct buf out = call->out;
	struct web *w = call->web;

	web_note_answer(call, status);
	n = web_with_defaults(all, headers, n, STR_NULL);
	/* the reply ends the request and with it the arena that holds the call */
	http_reply(call->req, status, all, n, body);
	web_keep_buffer(w, &out);
}

void web_shared(struct web_call *call, int status, const struct http_header *headers, size_t n,
		struct shared_bytes *body)
{
	struct http_header all[12];
	struct buf out = call->out;
	struct web *w = call->web;

	web_note_answer(call, status);
	n = web_with_defaults(all, headers, n, STR_NULL);
	http_reply_shared(call->req, status, all, n, body);
	web_keep_buffer(w, &out);
}

void web_empty(struct web_call *call, int status)
{
	web_bytes(call, status, NULL, 0, STR(""));
}

struct jw *web_json(struct web_call *call)
{
	buf_reset(&call->out);
	jw_init(&call->json, &call->out);
	jw_obj(&call->json);
	return &call->json;
}

void web_json_end_headers(struct web_call *call, int status, const struct http_header *headers, size_t n)
{
	struct http_header all[10];

	assert(n <= 7);
	jw_obj_end(&call->json);
	if (!jw_done(&call->json)) {
		web_refuse(call, ERR_INTERNAL, "The answer is larger than allowed.");
		return;
	}
	all[0] = (struct http_header){STR("Content-Type"), STR("application/json")};
	if (n)
		memcpy(all + 1, headers, n * sizeof(*headers));
	web_bytes(call, status, all, n + 1, buf_str(&call->out));
}

void web_json_end(struct web_call *call, int status)
{
	web_json_end_headers(call, status, NULL, 0);
}

struct jw *web_problem(struct web_call *call, enum err code, const char *detail)
{
	call->refused = code;
	buf_reset(&call->out);
	jw_init(&call->json, &call->out);
	problem_head(&call->json, code, detail, &call->req->id);
	return &call->json;
}

void web_problem_end(struct web_call *call)
{
	const struct err_info *info = err_info(call->refused);
	struct http_header headers[3];
	size_t n = 0;
	int retry_after_s = call->retry_after_s > 0 ? call->retry_after_s : 1;

	jw_obj_end(&call->json);
	headers[n++] = (struct http_header){STR("Content-Type"), STR("application/problem+json")};
	if (info->http_status == 429 || info->http_status == 503)
		headers[n++] = (struct http_header){STR("Retry-After"),
						    str_from(arena_printf(call->arena, "%d", retry_after_s))};
	if (info->http_status == 401)
		headers[n++] = (struct http_header){STR("WWW-Authenticate"), STR("Bearer")};
	web_bytes(call, info->http_status, headers, n, buf_str(&call->out));
}

void web_refuse(struct web_call *call, enum err code, const char *detail)
{
	web_problem(call, code, detail);
	web_problem_end(call);
}

void web_refuse_error(struct web_call *call, const struct error *e)
{
	struct jw *json = web_problem(call, e->code, e->detail);
	int status = err_info(e->code)->http_status;

	/* the empty pointer says something too: the body as a whole */
	if (status == 400 || status == 422 || e->path[0])
		jw_kcstr(json, "path", e->path);
	web_problem_end(call);
}

static void drop_body(void *arg)
{
	json_decref(arg);
}

json_t *web_body(struct web_call *call)
{
	struct error e = {0};
	json_t *j = json_read(call->req->body, JSON_DEPTH_DEFAULT, &e);

	if (!j) {
		web_refuse_error(call, &e);
		return NULL;
	}
	arena_on_done(call->arena, drop_body, j);
	return j;
}

bool web_idempotency_key(struct web_call *call, struct str *ret_key)
{
	const struct str *key = http_req_header(call->req, "idempotency-key");
	struct error e = {0};

	*ret_key = STR("");
	if (!key)
		return true;
	if (key->n < 1 || key->n > 255) {
		error_set(&e, ERR_INVALID_REQUEST, "/Idempotency-Key",
			  "Idempotency-Key must have 1 to 255 characters; it has %zu.", key->n);
		web_refuse_error(call, &e);
		return false;
	}
	for (size_t i = 0; i < key->n; i++)
		if (key->p[i] < 0x21 || key->p[i] > 0x7E) {
			error_set(&e, ERR_INVALID_REQUEST, "/Idempotency-Key",
				  "Idempotency-Key must be visible ASCII characters.");
			web_refuse_error(call, &e);
			return false;
		}
	*ret_key = *key;
	return true;
}

bool web_etag_matches(const struct web_call *call, struct str etag)
{
	const struct str *header = http_req_header(call->req, "if-none-match");
	struct str rest, one;

	if (!header)
		return false;
	if (str_eq(*header, etag)) /* what a browser sends */
		return true;
	for (rest = *header; rest.n;) {
		rest = str_split(rest, ',', &one);
		one = str_trim(one);
		if (str_starts(one, STR("W/")))
			one = (struct str){one.p + 2, one.n - 2};
		if (str_eq(one, etag) || str_eqc(one, "*"))
			return true;
	}
	return false;
}

bool web_accepts_gzip(const struct web_call *call)
{
	const struct str *header = http_req_header(call->req, "accept-encoding");
	struct str rest, one, name;

	if (!header)
		return false;
	for (rest = *header; rest.n;) {
		rest = str_split(rest, ',', &one);
		struct str params = str_split(one, ';', &name);

		name = str_trim(name);
		if (!str_ieqc(name, "gzip") && !str_ieqc(name, "x-gzip"))
			continue;
		params = str_trim(params);
		/* q=0, q=0.0, q=0.000 */
		if (str_starts(params, STR("q=0"))) {
			bool zero = true;

			for (size_t i = 2; i < params.n; i++)
				zero = zero && (params.p[i] == '0' || params.p[i] == '.');
			if (zero)
				return false;
		}
		return true;
	}
	return false;
}
