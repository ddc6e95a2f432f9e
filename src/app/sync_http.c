/* libcurl's easy interface behind one function, and behind a connection that is kept for many requests. */
#include "app/sync_http.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/xmalloc.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX = 32 * 1024 * 1024 };

static size_t on_bytes(char *p, size_t size, size_t n, void *arg)
{
	return buf_add(arg, p, size * n) ? size * n : 0;
}

/* One request on a handle, which keeps its connection. */
static bool request(CURL *c, const char *base, const char *path, struct curl_slist *headers, long timeout_ms,
		    struct http_answer *ret)
{
	char url[1000];
	long status = 0;
	struct error e = {0};
	struct buf out;
	CURLcode rc;

	buf_init(&out, ANSWER_MAX);
	snprintf(url, sizeof(url), "%s%s", base, path);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &out);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	rc = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	ret->status = (int)status;
	if (rc != CURLE_OK)
		snprintf(ret->error, sizeof(ret->error), "%s: %s", base, curl_easy_strerror(rc));
	else if (out.n)
		ret->json = json_read(buf_str(&out), JSON_DEPTH_DEFAULT, &e);
	buf_done(&out);
	return rc == CURLE_OK;
}

bool sync_http(const char *base, const char *method, const char *path, const char *token, const char *key,
	       struct str body, long timeout_ms, struct http_answer *ret)
{
	CURL *c = curl_easy_init();
	struct curl_slist *headers = NULL;
	char line[400];
	bool ok;

	memset(ret, 0, sizeof(*ret));
	if (!c) {
		snprintf(ret->error, sizeof(ret->error), "libcurl cannot be used");
		return false;
	}
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
	headers = curl_slist_append(headers, "Accept: application/json");
	headers = curl_slist_append(headers, "Expect:");
	if (token) {
		snprintf(line, sizeof(line), "Authorization: Bearer %s", token);
		headers = curl_slist_append(headers, line);
	}
	if (key) {
		snprintf(line, sizeof(line), "Idempotency-Key: %s", key);
		headers = curl_slist_append(headers, line);
	}
	if (body.n) {
		headers = curl_slist_append(headers, "Content-Type: application/json");
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.p);
	}
	ok = request(c, base, path, headers, timeout_ms, ret);
	curl_slist_free_all(headers);
	curl_easy_cleanup(c);
	return ok;
}

struct sync_http_client {
	CURL *curl;
	struct curl_slist *headers;
	char *base;
	long timeout_ms;
};

struct sync_http_client *sync_http_client_new(const char *base, const char *token, const char *ca_file, long timeout_ms)
{
	struct sync_http_client *c = xcalloc(1, sizeof(*c));
	size_t n = strlen(base);
	char line[400];

	while (n && base[n - 1] == '/')
		n--;
	c->base = xstrndup(base, n);
	c->timeout_ms = timeout_ms;
	c->curl = curl_easy_init();
	if (c->curl && ca_file[0])
		curl_easy_setopt(c->curl, CURLOPT_CAINFO, ca_file);
	snprintf(line, sizeof(line), "Authorization: Bearer %s", token);
	c->headers = curl_slist_append(NULL, line);
	c->headers = curl_slist_append(c->headers, "Accept: application/json");
	explicit_bzero(line, sizeof(line));
	return c;
}

bool sync_http_get(struct sync_http_client *c, const char *path, struct http_answer *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!c->curl) {
		snprintf(ret->error, sizeof(ret->error), "libcurl cannot be used");
		return false;
	}
	return request(c->curl, c->base, path, c->headers, c->timeout_ms, ret);
}

void sync_http_client_free(struct sync_http_client *c)
{
	curl_slist_free_all(c->headers);
	if (c->curl)
		curl_easy_cleanup(c->curl);
	free(c->base);
	free(c);
}

void sync_http_done(struct http_answer *a)
{
	json_decref(a->json);
	a->json = NULL;
}

static const char *member(const struct http_answer *a, const char *name)
{
	const char *s = json_string_value(json_object_get(a->json, name));

	return s ? s : "";
}

void sync_http_say(const struct http_answer *a, char *out, size_t size)
{
	if (a->error[0])
		snprintf(out, size, "%s", a->error);
	else if (member(a, "path")[0])
		snprintf(out, size, "%s: %s (at %s)", member(a, "code"), member(a, "detail"), member(a, "path"));
	else if (member(a, "code")[0])
		snprintf(out, size, "%s: %s", member(a, "code"), member(a, "detail"));
	else
		snprintf(out, size, "status %d", a->status);
}
