/* A file of the source tree carried inside the executable (script/embed.py makes the tables). */
#ifndef BASE_EMBEDDED_H
#define BASE_EMBEDDED_H

#include <stddef.h>

struct embedded_file {
	const char *name;
	const char *bytes; /* NUL-terminated beyond size */
	size_t size;
	const char *digest; /* of the bytes, hexadecimal: for an ETag */
	const char *gz;	    /* the same packed, where it was asked for (embed.py pages); else gz_size is 0 */
	size_t gz_size;
};

#endif
