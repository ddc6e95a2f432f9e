/* The language of templates: values, sections, partials, lines, escapes; and what is wrong said in one line. */
#include "notify/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct str find(void *arg, struct str name)
{
	if (str_eqc(name, "partial"))
		return STR("[{{a}}]");
	if (str_eqc(name, "loop"))
		return STR("{{>loop}}");
	return STR_NULL;
}

static const struct template_value values[] = {
	{"a", "A"}, {"evil", "<b>&\"'\r\nx"}, {"none", ""}, {"null", NULL}, {NULL, NULL}};

static void is(const char *text, bool html, const char *expected)
{
	struct template_source source = {find, NULL, html};
	struct buf out;
	char error[160];

	buf_init(&out, 1000);
	if (!template_render(str_from(text), &source, values, &out, error))
		fail_msg("%s: %s", text, error);
	assert_string_equal(out.p ? out.p : "", expected);
	buf_done(&out);
}

static void fails(const char *text, const char *why)
{
	struct template_source source = {find, NULL, false};
	struct buf out;
	char error[160];

	buf_init(&out, 1000);
	assert_false(template_render(str_from(text), &source, values, &out, error));
	if (!strstr(error, why))
		fail_msg("%s: \"%s\" says nothing of \"%s\"", text, error, why);
	buf_done(&out);
}

static void right(void **state)
{
	is("", false, "");
	is("x{{a}}y{{a}}", false, "xAyA");
	is("{{evil}}", false, "<b>&\"' \nx");
	is("{{evil}}", true, "&lt;b&gt;&amp;&quot;&#39; <br>\nx");
	is("{{#a}}yes {{a}}{{/a}}{{^a}}no{{/a}}", false, "yes A");
	is("{{#none}}yes{{/none}}{{^none}}no{{/none}}{{#null}}yes{{/null}}", false, "no");
	is("1\n{{#a}}\n2\n{{/a}}\n3\n{{#none}}\n4\n{{/none}}\n5\n", false, "1\n2\n3\n5\n");
	is("{{#a}}{{#none}}x{{/none}}{{^none}}y{{/none}}{{/a}}", false, "y");
	is("{{#a}}({{#a}}x{{/a}}){{/a}}", false, "(x)");
	is("<{{>partial}}>", false, "<[A]>");
	is("{ {a} } }}", false, "{ {a} } }}");
}

static void wrong(void **state)
{
	fails("{{b}}", "no such value");
	fails("{{#b}}{{/b}}", "no such value");
	fails("{{#a}}x", "does not end");
	fails("x{{/a}}", "did not begin");
	fails("{{>nothing}}", "no such template");
	fails("{{>loop}}", "too deep");
	fails("{{a", "does not end");
	fails("{{}}", "empty");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(right), cmocka_unit_test(wrong)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
