/*
 * A slice of bytes somebody else owns. Not NUL-terminated unless said so.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
	const char *p;
	size_t n;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_NULL ((struct str){NULL, 0})
/* for printf: "%.*s" */
#define STR_FMT(s) (int)(s).n, (s).p

struct str str_from(const char *cstr); /* NULL gives an empty slice */
bool str_eq(struct str a, struct str b);
bool str_eqc(struct str a, const char *cstr);
bool str_ieqc(struct str a, const char *cstr); /* ASCII case folded */
bool str_starts(struct str a, struct str prefix);
struct str str_trim(struct str a); /* spaces and tabs at both ends */
/* Splits at the first c: *head is what stands before, the rest is returned (without c); no c: all goes to head. */
struct str str_split(struct str a, char c, struct str *head);
/* Decimal digits only, no sign, no blanks, at most max. */
bool str_to_u64(struct str a, uint64_t max, uint64_t *ret_value);
/* Well-formed UTF-8 (no surrogates, no overlong forms, nothing above U+10FFFF). */
bool str_utf8_valid(struct str a);
/* Length of the well-formed character that a begins with, 0 when there is none. */
size_t str_utf8_sequence(struct str a);
/* Characters (code points) of a well-formed string. */
size_t str_utf8_length(struct str a);
/* A well-formed language tag (BCP 47, RFC 5646), as "de", "de-AT", "zh-Hant-TW" are; no grandfathered ones ("i-klingon"). */
bool str_is_language_tag(struct str a);

/* Lower-case hexadecimal; out holds 2 * n + 1 bytes. */
void hex_encode(const void *in, size_t n, char *out);
/* false unless the text is exactly 2 * n hexadecimal digits. */
bool hex_decode(struct str text, void *out, size_t n);
/* base64url without padding (RFC 4648 section 5); out holds base64url_size(n) bytes, NUL included. */
#define BASE64URL_SIZE(n) (((n)*4 + 2) / 3 + 1)
size_t base64url_encode(const void *in, size_t n, char *out);
/* Refuses padding, blanks and non-canonical trailing bits. At most max bytes come out. */
bool base64url_decode(struct str text, void *out, size_t max, size_t *ret_n);

#endif
