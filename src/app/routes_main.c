/* boxoffice routes: "METHOD pattern" of every route this program can serve, one a line, for the test that compares them with
 * api/openapi.yaml. Needs no configuration and no server. */
#include "app/serve_int.h"

#include <stdio.h>
#include <stdlib.h>

int routes_main(int argc, char **argv)
{
	const char **names = serve_route_names();

	for (int i = 1; names[i]; i++) {
		puts(names[i]);
		free((void *)(uintptr_t)names[i]);
	}
	free(names);
	return fflush(stdout) == 0 ? 0 : 1;
}
