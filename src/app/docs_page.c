/*
 * The API reference: /docs (Swagger UI, carried in the executable) and the file it shows, /v1/openapi.yaml and .json. Called by a
 * worker of serve. Nothing on the page comes from another host, and its Content-Security-Policy lets nothing else in.
 */
#include "app/docs_files.h"
#include "app/serve_int.h"

/* Swagger UI draws its icons from data: addresses and sets styles on elements; it runs no code but its own file. */
#define DOCS_POLICY \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " \
	"connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"

static void get_file(struct web_call *call, const struct embedded_file *f, struct str type)
{
	bool packed = f->gz_size && web_accepts_gzip(call);
	/* another tag for another coding */
	struct str etag = str_from(arena_printf(call->arena, "\"%s%s\"", f->digest, packed ? "-gz" : ""));
	struct http_header headers[8] = {{STR("Content-Type"), type},
					 {STR("Cache-Control"), STR("no-cache")},
					 {STR("ETag"), etag},
					 {STR("Vary"), STR("Accept-Encoding")},
					 {STR("Content-Security-Policy"), STR(DOCS_POLICY)},
					 {STR("Referrer-Policy"), STR("no-referrer")}};
	size_t n = 6;

	if (web_etag_matches(call, etag)) {
		web_bytes(call, 304, headers, n, STR(""));
		return;
	}
	if (packed)
		headers[n++] = (struct http_header){STR("Content-Encoding"), STR("gzip")};
	web_bytes(call, 200, headers, n, packed ? (struct str){f->gz, f->gz_size} : (struct str){f->bytes, f->size});
}

static void get_page(struct web_call *call)
{
	get_file(call, &docs_file_index_html, STR("text/html; charset=utf-8"));
}

static void get_script(struct web_call *call)
{
	get_file(call, &docs_file_docs_js, STR("text/javascript; charset=utf-8"));
}

static void get_bundle(struct web_call *call)
{
	get_file(call, &docs_file_swagger_ui_bundle_js, STR("text/javascript; charset=utf-8"));
}

static void get_style(struct web_call *call)
{
	get_file(call, &docs_file_swagger_ui_css, STR("text/css; charset=utf-8"));
}

static void get_yaml(struct web_call *call)
{
	get_file(call, &docs_file_openapi_yaml, STR("application/yaml"));
}

static void get_json(struct web_call *call)
{
	get_file(call, &docs_file_openapi_json, STR("application/json"));
}

static const struct web_route routes[] = {
	{HTTP_GET, "/docs", get_page, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/docs/docs.js", get_script, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/docs/swagger-ui-bundle.js", get_bundle, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/docs/swagger-ui.css", get_style, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/v1/openapi.yaml", get_yaml, WEB_ANYBODY, 0, 0, false},
	{HTTP_GET, "/v1/openapi.json", get_json, WEB_ANYBODY, 0, 0, false},
};

void docs_routes(struct web *web)
{
	web_add(web, SERVICE_WEB, routes, sizeof(routes) / sizeof(routes[0]), NULL);
}
