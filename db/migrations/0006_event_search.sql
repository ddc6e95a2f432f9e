-- Finding events: by words in their language, by the beginning of a word, in spite of a slip, by category, city and time.
--
-- The words of an event are a tsvector beside it, kept by PostgreSQL itself (a generated column), so that the program of the
-- version before, which knows nothing of it, leaves nothing out. Both extensions are trusted: the owner of the database may
-- make them.
CREATE EXTENSION IF NOT EXISTS unaccent;
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- PostgreSQL's configuration for a language; NULL for 'simple', the language of events that name none.
CREATE FUNCTION event_configuration(p_language text) RETURNS regconfig LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN CASE p_language
    WHEN 'da' THEN 'pg_catalog.danish'::regconfig
    WHEN 'de' THEN 'pg_catalog.german'::regconfig
    WHEN 'en' THEN 'pg_catalog.english'::regconfig
    WHEN 'es' THEN 'pg_catalog.spanish'::regconfig
    WHEN 'fi' THEN 'pg_catalog.finnish'::regconfig
    WHEN 'fr' THEN 'pg_catalog.french'::regconfig
    WHEN 'hu' THEN 'pg_catalog.hungarian'::regconfig
    WHEN 'it' THEN 'pg_catalog.italian'::regconfig
    WHEN 'nl' THEN 'pg_catalog.dutch'::regconfig
    WHEN 'no' THEN 'pg_catalog.norwegian'::regconfig
    WHEN 'pt' THEN 'pg_catalog.portuguese'::regconfig
    WHEN 'ro' THEN 'pg_catalog.romanian'::regconfig
    WHEN 'ru' THEN 'pg_catalog.russian'::regconfig
    WHEN 'sv' THEN 'pg_catalog.swedish'::regconfig
    WHEN 'tr' THEN 'pg_catalog.turkish'::regconfig
  END;
END $$;

-- These functions are PL/pgSQL because each row calls them: an SQL function that is not inlined costs ten times as much. They
-- name the schemas of what they call (OURS and THEIRS below), because a restore and, from PostgreSQL 17 on, the making of an
-- index call them without a search path; a SET of the path by each function would cost more than what it does.
DO $make$
BEGIN
  EXECUTE replace(replace($sql$

-- How two texts are compared when case, accents and width do not matter. (Declared immutable although unaccent() is not: it
-- changes only with its file of rules, and that with a new version of PostgreSQL, after which indexes are built again.)
CREATE FUNCTION OURS.event_fold(p_text text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN lower(THEIRS.unaccent('THEIRS.unaccent'::regdictionary, normalize(p_text, NFKC)));
END $$;

-- The words of a text, folded, in their order. Punctuation, signs, controls and pictures part words and are none. The parser
-- that PostgreSQL brings is not asked: it takes file names, numbers and addresses for things of their own, so that a name is found
-- or not depending on what stands beside it. Of a word the first 100 characters count: a tsvector's may have 2 KB.
CREATE FUNCTION OURS.event_words(p_text text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  v_text text := OURS.event_fold(p_text);
BEGIN
  v_text := btrim(regexp_replace(v_text, '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00bf\u02b0-\u036f\u2000-\u2bff'
    '\u2e00-\u2e7f\u3000-\u303f\ufe00-\ufe0f\uff00-\uff0f\ufeff\U0001f000-\U0001faff\U000e0000-\U000e01ef]+', ' ', 'g'));
  IF length(v_text) > 100 THEN
    v_text := regexp_replace(v_text, '([^ ]{100})[^ ]+', '\1', 'g');
  END IF;
  RETURN string_to_array(v_text, ' ');
END $$;

-- What an event is found by: its words as they are, their stems as 'en/stem' (so that the stem of one language is not taken
-- for a word of another), and its category as '=category'.
CREATE FUNCTION OURS.event_terms(p_language text, p_category text, p_text text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  v_words text[] := OURS.event_words(p_text);
  v_terms text[] := v_words || ('=' || left(OURS.event_fold(p_category), 100));
  v_stems text[];
BEGIN
  IF p_language <> 'simple' THEN
    v_stems := tsvector_to_array(to_tsvector(OURS.event_configuration(p_language), array_to_string(v_words, ' ')));
    IF cardinality(v_stems) > 0 THEN
      v_terms := v_terms || string_to_array(p_language || '/' || array_to_string(v_stems, ' ' || p_language || '/'), ' ');
    END IF;
  END IF;
  RETURN array_to_tsvector(v_terms);
END $$;

  $sql$, 'OURS.', quote_ident(current_schema()) || '.'),
     'THEIRS.', (SELECT quote_ident(n.nspname) || '.' FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                  WHERE e.extname = 'unaccent'));
END $make$;

-- What was typed, as a question to event_terms: every word, as it is or by its stem in any language; the last one may be the
-- beginning of a word. Words that say nothing in a language ("the") have no stem there. p_category '': any. A text without a word
-- matches nothing.
CREATE FUNCTION event_query(p_text text, p_category text) RETURNS tsquery LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  c_languages constant text[] := '{da,de,en,es,fi,fr,hu,it,nl,no,pt,ro,ru,sv,tr}';
  v_words text[] := event_words(p_text);
  v_language text;
  v_stem text;
  v_word tsquery;
  v_query tsquery;
BEGIN
  IF p_text <> '' AND cardinality(v_words) = 0 THEN
    RETURN ''::tsquery;
  END IF;
  FOR i IN 1 .. cardinality(v_words) LOOP
    v_word := (quote_literal(v_words[i]) || CASE WHEN i = cardinality(v_words) THEN ':*' ELSE '' END)::tsquery;
    FOREACH v_language IN ARRAY c_languages LOOP
      FOREACH v_stem IN ARRAY tsvector_to_array(to_tsvector(event_configuration(v_language), v_words[i])) LOOP
        v_word := v_word || quote_literal(v_language || '/' || v_stem)::tsquery;
      END LOOP;
    END LOOP;
    v_query := coalesce(v_query && v_word, v_word);
  END LOOP;
  IF p_category <> '' THEN
    v_word := ('''=' || replace(replace(left(event_fold(p_category), 100), '\', '\\'), '''', '''''') || '''')::tsquery;
    v_query := coalesce(v_query && v_word, v_word);
  END IF;
  RETURN coalesce(v_query, ''::tsquery);
END $$;

ALTER TABLE events
  ADD COLUMN language text NOT NULL DEFAULT 'simple'
    CHECK (language IN ('simple', 'da', 'de', 'en', 'es', 'fi', 'fr', 'hu', 'it', 'nl', 'no', 'pt', 'ro', 'ru', 'sv', 'tr')),
  ADD COLUMN search tsvector NOT NULL
    GENERATED ALWAYS AS (event_terms(language, category, name || ' ' || category || ' ' || description)) STORED,
  ADD COLUMN folded_name text NOT NULL GENERATED ALWAYS AS (event_fold(name)) STORED;
CREATE INDEX events_by_terms ON events USING gin (search);
-- for names typed with a slip
CREATE INDEX events_by_likeness ON events USING gin (folded_name gin_trgm_ops);

-- A list that is read page by page stands as of its first page: an event stands where its first show stood that was on then,
-- whatever was put on or taken off since. So a show knows from when to when it was published. By a trigger, because whoever
-- changes the status, an older program too, must not forget it.
ALTER TABLE shows
  ADD COLUMN listed_at timestamptz NOT NULL DEFAULT '-infinity',
  ADD COLUMN unlisted_at timestamptz NOT NULL DEFAULT 'infinity';
UPDATE shows SET unlisted_at = '-infinity' WHERE status <> 'published';

CREATE FUNCTION show_listed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.status = 'published' THEN
    NEW.listed_at := statement_timestamp();
    NEW.unlisted_at := 'infinity';
  ELSE
    NEW.unlisted_at := CASE WHEN TG_OP = 'INSERT' THEN '-infinity' ELSE statement_timestamp() END;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER show_listed_new BEFORE INSERT ON shows FOR EACH ROW EXECUTE FUNCTION show_listed();
CREATE TRIGGER show_listed_change BEFORE UPDATE OF status ON shows FOR EACH ROW
  WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION show_listed();

CREATE INDEX shows_by_start ON shows (starts_at, event_id, show_id);
CREATE INDEX shows_by_venue ON shows (venue_id, starts_at);
CREATE INDEX venues_by_city ON venues (event_fold(city));

-- An event in a list that was begun at p_as_of: place_at is where it stands there (NULL: it was not on then), the others say how
-- it is now. Of its shows from p_from up to p_to, in p_city (folded; '': anywhere). One reading of the event's shows to come.
CREATE FUNCTION event_place(p_event uuid, p_as_of timestamptz, p_from timestamptz, p_to timestamptz, p_city text)
RETURNS TABLE (place_at timestamptz, next_show_at timestamptz, city text, shows int) LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT min(s.starts_at) FILTER (WHERE s.listed_at <= p_as_of AND s.unlisted_at > p_as_of),
         min(s.starts_at) FILTER (WHERE s.status = 'published' AND s.starts_at > statement_timestamp()),
         (array_agg(v.city ORDER BY s.starts_at) FILTER (WHERE s.status = 'published' AND s.starts_at > statement_timestamp()))[1],
         (count(*) FILTER (WHERE s.status = 'published' AND s.starts_at > statement_timestamp()))::int
    FROM shows s JOIN venues v ON v.venue_id = s.venue_id
   WHERE s.event_id = p_event AND s.starts_at > p_as_of AND s.starts_at >= p_from AND s.starts_at < p_to
     AND (p_city = '' OR event_fold(v.city) = p_city);
END;

-- Names like what was typed, by the word or words in them that come nearest; of more than a thousand those that are nearest. In
-- a function, because how near is near enough is a setting: half of the trigrams, which is a slip in a word of five letters.
-- Reads only.
CREATE FUNCTION events_like(p_text text, p_category text) RETURNS SETOF uuid LANGUAGE sql STABLE
SET pg_trgm.word_similarity_threshold = 0.5
AS $$
  SELECT e.event_id FROM events e
   WHERE event_fold(p_text) <% e.folded_name AND e.status = 'published'
     AND cardinality(event_words(p_text)) > 0 -- without a trigram to look for the index would be read through
     AND (p_category = '' OR event_fold(e.category) = event_fold(p_category))
   ORDER BY word_similarity(event_fold(p_text), e.folded_name) DESC, e.event_id
   LIMIT 1000
$$;

-- What is on, the nearest show first, read along the starts of shows: for lists of everything, and for words that so many events
-- have that the page is full soon. The list stands as of p_as_of; p_after and p_after_event: where the page before ended. In a
-- function, because planned on empty tables it would sort all shows (decision 0015). Reads only.
CREATE FUNCTION events_walk(p_as_of timestamptz, p_from timestamptz, p_to timestamptz, p_text text, p_category text,
                            p_after timestamptz, p_after_event uuid, p_limit int)
RETURNS TABLE (event_id uuid, name text, category text, description text, city text, next_show_at timestamptz, shows int,
               place_at timestamptz) LANGUAGE plpgsql STABLE
SET enable_sort = off SET enable_bitmapscan = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  v_query tsquery := CASE WHEN p_text = '' AND p_category = '' THEN NULL ELSE event_query(p_text, p_category) END;
BEGIN
  RETURN QUERY
  SELECT e.event_id, e.name, e.category, e.description, n.city, n.next_show_at, n.shows, s.starts_at
    FROM shows s
    JOIN events e ON e.event_id = s.event_id
   CROSS JOIN LATERAL event_place(s.event_id, p_as_of, p_from, p_to, '') n
   WHERE s.starts_at > p_as_of AND s.starts_at >= p_from AND s.starts_at < p_to
     AND (s.starts_at, s.event_id) > (p_after, p_after_event)
     AND s.listed_at <= p_as_of AND s.unlisted_at > p_as_of
     AND s.show_id = (SELECT f.show_id FROM shows f -- its event's first
                       WHERE f.event_id = s.event_id AND f.starts_at > p_as_of AND f.starts_at >= p_from
                         AND f.listed_at <= p_as_of AND f.unlisted_at > p_as_of
                       ORDER BY f.starts_at, f.show_id LIMIT 1)
     AND e.status = 'published' AND (v_query IS NULL OR e.search @@ v_query) AND n.shows > 0
   ORDER BY s.starts_at, s.event_id
   LIMIT p_limit;
END $$;

-- The published shows to come that are nearest to a time, p_each at most before it and as many after. A function, as events_walk.
-- Reads only.
CREATE FUNCTION shows_near(p_at timestamptz, p_each int) RETURNS TABLE (event_id uuid) LANGUAGE plpgsql STABLE
SET enable_sort = off SET enable_bitmapscan = off SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT s.event_id FROM shows s
     WHERE s.starts_at >= greatest(p_at, statement_timestamp()) AND s.status = 'published' ORDER BY s.starts_at LIMIT p_each;
  RETURN QUERY
    SELECT s.event_id FROM shows s
     WHERE s.starts_at < p_at AND s.starts_at > statement_timestamp() AND s.status = 'published'
     ORDER BY s.starts_at DESC LIMIT p_each;
END $$;

-- A show may move to another version of the plan as long as nothing of it was ever held. Whoever numbered seats by the plan it
-- had finds out here, at the end of the statement that took them: a function that may change things sees what was committed
-- meanwhile. Who moves a show waits for the rows of its seats; so either the seats were taken before, and the show stays, or
-- this sees the new plan and nothing is kept.
CREATE FUNCTION show_plans_hold(p_show uuid[], p_plan uuid[]) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF EXISTS (SELECT FROM unnest(p_show, p_plan) AS w (show_id, plan_id)
              WHERE w.plan_id <> (SELECT s.plan_id FROM shows s WHERE s.show_id = w.show_id)) THEN
    RAISE EXCEPTION 'the show has another plan by now' USING ERRCODE = 'BX001';
  END IF;
  RETURN true;
END $$;

GRANT EXECUTE ON FUNCTION event_fold, event_words, event_configuration, event_terms, event_query, event_place, events_like,
  events_walk, shows_near, show_listed, show_plans_hold TO boxoffice_app;
GRANT DELETE ON show_seats TO boxoffice_app; -- of a show that moves to another plan
