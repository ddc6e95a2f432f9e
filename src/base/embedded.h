/* A file of the source tree carried inside the executable (script/embed.py makes the tables). */
#ifndef BASE_EMBEDDED_H
#define BASE_EMBEDDED_H

#include <stddef.h>

struct embedded_file {
	const char *name;
	const char *bytes; /* NUL-terminated beyond size */
	size_t size;
};

#endif
