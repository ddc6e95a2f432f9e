/*
 * What the parts of the seat map share: seat_map.c (loading, reading), seat_map_admit.c, seat_map_apply.c and
 * seat_map_words.c (keys and arguments of the scripts). seat_map.h has the whole from outside.
 */
#ifndef SEAT_SEAT_MAP_INT_H
#define SEAT_SEAT_MAP_INT_H

#include "base/list.h"
#include "seat/seat_map.h"

enum { MAP_CROWD_SLOTS = 256 };

struct seat_map {
	struct seat_map_config config;
	struct list loads, reads;
	struct list applies, drops;
	size_t n_applies;
	struct list groups, sent;	/* of admissions: being collected in this turn, and calls under way */
	size_t n_collected;		/* seats in groups */
	uint8_t crowd[MAP_CROWD_SLOTS]; /* by show: how many of the last requests were refused, of 255 */
	struct list to_apply, bundles;	/* what was committed: to be sent in this turn, and calls under way */
	struct deferred *turn;
	struct seat_map_stats stats;
};

/* ---- seat_map.c ---- */
/* fn runs once, when the show's map is there or cannot be had. One load of a show at a time in a process. */
void seat_map_load(struct seat_map *m, const struct uuid *show, void (*fn)(void *arg, bool loaded), void *arg);

/* ---- seat_map_admit.c ---- */
void seat_map_admit_init(struct seat_map *m);
void seat_map_admit_done(struct seat_map *m);
void seat_map_admit_send(struct seat_map *m); /* at the end of a turn */

/* ---- seat_map_apply.c ---- */
void seat_map_apply_init(struct seat_map *m);
void seat_map_apply_done(struct seat_map *m);

/* ---- seat_map_drop.c ---- */
/* Takes the show's map away if it is of another context; whoever asks next loads it. */
void seat_map_forget(struct seat_map *m, const struct uuid *show);
void seat_map_drop_init(struct seat_map *m);
void seat_map_drop_done(struct seat_map *m);

/* ---- seat_map_words.c ---- */
struct map_keys {
	char map[8 + UUID_TEXT], sessions[8 + UUID_TEXT], stream[8 + UUID_TEXT];
};
void map_keys(const struct uuid *show, struct map_keys *k);
enum { MAP_CONTEXT_MAX = 160 };
/* The server's run id and the database's timeline. */
void map_context(const struct seat_map *m, char out[MAP_CONTEXT_MAX]);
struct str map_uuid(const struct uuid *u); /* its 16 bytes */

/* Arguments of a script call: what is added has to live until the call was started, or is copied into the arena. */
struct words {
	struct arena arena;
	struct str *v;
	size_t n, cap;
};
void words_init(struct words *w);
void words_done(struct words *w);
void words_add(struct words *w, struct str s); /* not copied */
void words_int(struct words *w, int64_t v);
void words_fence(struct words *w, int32_t fence); /* of one width, so that fences compare as text */
char map_state_letter(uint8_t state);		  /* enum seat_state or SEAT_WITHDRAW */

/* A row of arrays (seats, states, fences, locks, ms), as the map statements answer; in the arena. */
size_t map_changes_from_rows(const struct pg_result *r, struct arena *arena, struct seat_change **ret);

#endif
