/* A template and a value that anybody may write, separated by a NUL. In HTML nothing of the value may come out as markup. */
#include "notify/template.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct str find(void *arg, struct str name)
{
	return str_eqc(name, "self") ? *(struct str *)arg : STR_NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1), error[160] = "";
	struct template_value values[] = {{"a", ""}, {"b", "x"}, {NULL, NULL}};
	struct template_source source = {find, NULL, true};
	struct str template, alone = STR("{{a}}");
	struct buf out;

	memcpy(text, data, n);
	text[n] = '\0';
	template = str_from(text);
	if (template.n < n)
		values[0].value = text + template.n + 1;
	source.arg = &template;
	buf_init(&out, 100000);
	if (!template_render(template, &source, values, &out, error))
		assert(*error && strlen(error) < sizeof(error));
	buf_reset(&out);
	assert(template_render(alone, &source, values, &out, error));
	for (const char *p = out.p ? out.p : ""; *p; p++) {
		assert(*p != '"' && *p != '\'');
		assert(*p != '<' || strncmp(p, "<br>\n", 5) == 0);
		assert((unsigned char)*p >= ' ' || *p == '\n');
	}
	assert(str_utf8_valid(buf_str(&out)));
	buf_done(&out);
	free(text);
	return 0;
}
