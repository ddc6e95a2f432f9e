/*
 * A crash on demand, for tests of what a crash leaves behind. Only in builds with tests: when BOXOFFICE_TEST_CRASH names a
 * folder with a file of the place's name, the process that can remove that file is killed there. So a test says when, and
 * it happens once.
 */
#ifndef SEAT_TEST_HOOK_H
#define SEAT_TEST_HOOK_H

#ifdef BOXOFFICE_TEST_HOOKS
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void test_crash(const char *place)
{
	const char *folder = getenv("BOXOFFICE_TEST_CRASH");
	char path[256];

	if (folder && snprintf(path, sizeof(path), "%s/%s", folder, place) < (int)sizeof(path) && unlink(path) == 0)
		raise(SIGKILL);
}
#else
static inline void test_crash(const char *place)
{
}
#endif

#endif
