/*
 * SipHash-2-4 (Aumasson, Bernstein): a hash for tables whose keys clients choose. Whoever does not know the key cannot
 * make many names fall into one bucket. Not for anything that leaves the process.
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t siphash(const uint8_t key[16], const void *p, size_t n);

#endif
