/* The form parser: what clients send, what must be refused, and the text for comparing requests. */
#include "paysim/form.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

static bool parse(struct arena *a, const char *text, struct form *f)
{
	const char *fault = NULL;
	bool ok = form_parse(a, str_from(text), f, &fault);

	if (!ok)
		assert_non_null(fault);
	return ok;
}

static void test_reads(void **state)
{
	struct arena a;
	struct form f;
	const struct form_item *it;
	size_t pos = 0;

	arena_init(&a);
	assert_true(
		parse(&a,
		      "amount=4500&currency=eur&metadata[show]=7+8&metadata%5Bseat%5D=A%26B&payment_method_types[]=card"
		      "&payment_method_types[]=link&expand[0]=x&empty=&flag",
		      &f));
	assert_int_equal(f.n, 9);
	assert_true(str_eqc(form_get(&f, "amount")->value, "4500"));
	assert_null(form_get(&f, "metadata"));
	assert_true(str_eqc(form_get_in(&f, "metadata", "show")->value, "7 8"));
	assert_true(str_eqc(form_get_in(&f, "metadata", "seat")->value, "A&B"));
	it = form_each(&f, "payment_method_types", &pos);
	assert_true(it && str_eqc(it->value, "card"));
	it = form_each(&f, "payment_method_types", &pos);
	assert_true(it && str_eqc(it->value, "link"));
	assert_null(form_each(&f, "payment_method_types", &pos));
	assert_true(str_eqc(form_unused(&f)->name, "currency"));
	assert_non_null(form_get(&f, "currency"));
	assert_true(str_eqc(form_unused(&f)->name, "expand[0]"));
	pos = 0;
	assert_non_null(form_each(&f, "expand", &pos));
	assert_int_equal(form_get(&f, "empty")->value.n, 0);
	assert_int_equal(form_get(&f, "flag")->value.n, 0);
	assert_null(form_unused(&f));
	assert_true(parse(&a, "", &f));
	assert_int_equal(f.n, 0);
	assert_true(parse(&a, "&&a=1&", &f));
	assert_int_equal(f.n, 1);
	/* deeper ones are nobody's unless asked for */
	assert_true(parse(&a, "a[b][c]=1", &f));
	assert_null(form_get_in(&f, "a", "b"));
	assert_non_null(form_unused(&f));
	arena_done(&a);
}

static void test_refuses(void **state)
{
	static const char *const bad[] = {
		"=1",	    "[a]=1",	  "a[=1",	"a]=1",		 "a[b=1",	    "a[b]c=1", "a[b]]=1",
		"a[[b]]=1", "a=%",	  "a=%4",	"a=%zz",	 "a=%00",	    "a=%ff",   "%c3=1",
		"a=1&a=2",  "a=1&a[b]=2", "a[b]=1&a=2", "a[b]=1&a[b]=2", "a[b][c][d][e]=1",
	};
	struct arena a;
	struct form f;

	arena_init(&a);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(&a, bad[i], &f))
			fail_msg("taken: %s", bad[i]);
	arena_done(&a);
}

static void test_caps(void **state)
{
	struct arena a;
	struct form f;
	struct buf b;

	arena_init(&a);
	buf_init(&b, 1 << 20);
	for (int i = 0; i < FORM_ITEMS_MAX; i++)
		buf_addf(&b, "%sp%d=1", i ? "&" : "", i);
	assert_true(parse(&a, b.p, &f));
	assert_int_equal(f.n, FORM_ITEMS_MAX);
	buf_adds(&b, "&one_more=1");
	assert_false(parse(&a, b.p, &f));
	buf_reset(&b);
	buf_adds(&b, "a=");
	for (int i = 0; i < FORM_VALUE_MAX; i++)
		buf_addc(&b, 'x');
	assert_true(parse(&a, b.p, &f));
	buf_addc(&b, 'x');
	assert_false(parse(&a, b.p, &f));
	buf_done(&b);
	arena_done(&a);
}

static bool same(const char *x, const char *y)
{
	struct arena a;
	struct form f;
	struct buf bx, by;
	bool equal;

	arena_init(&a);
	buf_init(&bx, 4096);
	buf_init(&by, 4096);
	assert_true(parse(&a, x, &f));
	form_canonical(&a, &f, &bx);
	assert_true(parse(&a, y, &f));
	form_canonical(&a, &f, &by);
	equal = str_eq(buf_str(&bx), buf_str(&by));
	buf_done(&bx);
	buf_done(&by);
	arena_done(&a);
	return equal;
}

static void test_canonical(void **state)
{
	assert_true(same("a=1&b=2", "b=2&a=1"));
	assert_true(same("m[x]=1&a=2", "a=2&m%5Bx%5D=%31"));
	assert_true(same("", "&"));
	assert_false(same("a=1&b=2", "a=1&b=3"));
	assert_false(same("a=1", "a=1&b="));
	assert_false(same("t[]=1&t[]=2", "t[]=2&t[]=1"));
	assert_false(same("a=1&b=2", "a=1%26b%3D2"));
	assert_false(same("ab=c", "a=bc"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_canonical),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
