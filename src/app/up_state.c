/* Reading DIR/up.json. */
#include "app/up_state.h"

#include "base/json.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

bool up_state_read(const char *dir, struct up_state *ret)
{
	char path[PATH_MAX + 16], text[64 * 1024];
	struct error e = {0};
	size_t n = 0;
	FILE *f;

	memset(ret, 0, sizeof(*ret));
	snprintf(path, sizeof(path), "%.*s/up.json", PATH_MAX, dir);
	f = fopen(path, "re");
	if (f) {
		n = fread(text, 1, sizeof(text), f);
		fclose(f);
		ret->json = json_read((struct str){text, n}, 8, &e);
	}
	ret->url = json_string_value(json_object_get(ret->json, "url"));
	ret->admin_token = json_string_value(json_object_get(ret->json, "admin_token"));
	ret->database_url = json_string_value(json_object_get(ret->json, "database_url"));
	ret->redis_url = json_string_value(json_object_get(ret->json, "redis_url"));
	ret->payment_url = json_string_value(json_object_get(ret->json, "payment_url"));
	if (ret->url && ret->admin_token && ret->database_url && ret->redis_url)
		return true;
	fprintf(stderr, "boxoffice: no `boxoffice up` is ready in %s (%s %s)\n", dir, path,
		f ? "is not whole" : "cannot be read");
	up_state_done(ret);
	return false;
}

void up_state_done(struct up_state *s)
{
	json_decref(s->json);
	memset(s, 0, sizeof(*s));
}
