/*
 * What stands after "?" in an address: what a route does not take is refused by name, as unknown members of a body are, because
 * who misspells a filter would get an answer to another question. Pages take anything: people come to them by links that others
 * have added to. Keeps nothing.
 */
#include "io/web_int.h"

#include <string.h>

enum { NAME_SHOWN_MAX = 60 };

static bool is_listed(const char *list, struct str name)
{
	struct str rest = str_from(list ? list : ""), one;

	while (rest.n) {
		rest = str_split(rest, ' ', &one);
		if (one.n && str_eq(one, name))
			return true;
	}
	return false;
}

static bool refuse(struct web_call *call, struct str name, const char *detail)
{
	struct error e = {0};
	char path[ERROR_PATH_MAX];

	json_pointer(path, "", arena_cstr(call->arena, name));
	error_set(&e, ERR_INVALID_REQUEST, path, "%s", detail);
	web_refuse_error(call, &e);
	return false;
}

/* As http_req_query finds it: an encoded name is the same name. */
static bool name_of(struct web_call *call, struct str pair, struct str *ret)
{
	str_split(pair, '=', ret);
	return !ret->n || (!memchr(ret->p, '%', ret->n) && !memchr(ret->p, '+', ret->n))
		       ? str_utf8_valid(*ret)
		       : http_unescape(call->arena, *ret, true, ret);
}

static bool stands_before(struct web_call *call, struct str name, const char *here)
{
	struct str rest = {call->req->query.p, (size_t)(here - call->req->query.p)}, pair, other;

	while (rest.n) {
		rest = str_split(rest, '&', &pair);
		if (name_of(call, pair, &other) && str_eq(other, name))
			return true;
	}
	return false;
}

bool web_query_known(struct web_call *call)
{
	const char *listed = call->route->query;
	struct str rest = call->req->query, pair, name;

	if (!rest.n || strncmp(call->route->pattern, "/v1/", 4) != 0)
		return true;
	while (rest.n) {
		rest = str_split(rest, '&', &pair);
		if (!pair.n)
			continue;
		if (!name_of(call, pair, &name) || name.n > NAME_SHOWN_MAX)
			return refuse(call, STR(""), "This address takes no such parameter.");
		if (!is_listed(listed, name))
			return refuse(
				call, name,
				listed ? arena_printf(call->arena,
						      "\"%.*s\" is not a parameter of this address, which takes: %s.",
						      STR_FMT(name), listed)
				       : arena_printf(call->arena,
						      "\"%.*s\" is not a parameter of this address, which takes none.",
						      STR_FMT(name)));
		if (stands_before(call, name, pair.p))
			return refuse(call, name,
				      arena_printf(call->arena, "\"%.*s\" stands there twice.", STR_FMT(name)));
	}
	return true;
}
