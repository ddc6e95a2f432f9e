/* Any bytes: parsed or refused; what was parsed stays within its caps and compares equal to itself. Corpus: corpus/form. */
#include "paysim/form.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct form f;
	struct buf x, y;
	const char *fault = NULL;
	size_t pos = 0;

	arena_init(&a);
	buf_init(&x, 1 << 22);
	buf_init(&y, 1 << 22);
	if (form_parse(&a, (struct str){(const char *)data, size}, &f, &fault)) {
		if (f.n > FORM_ITEMS_MAX)
			abort();
		for (size_t i = 0; i < f.n; i++)
			if (f.items[i].n_keys < 1 || f.items[i].n_keys > FORM_DEPTH_MAX ||
			    !str_utf8_valid(f.items[i].value))
				abort();
		form_get(&f, "amount");
		while (form_each(&f, "metadata", &pos))
			;
		form_unused(&f);
		form_canonical(&a, &f, &x);
		form_canonical(&a, &f, &y);
		if (!str_eq(buf_str(&x), buf_str(&y)))
			abort();
	} else if (!fault) {
		abort();
	}
	buf_done(&x);
	buf_done(&y);
	arena_done(&a);
	return 0;
}
