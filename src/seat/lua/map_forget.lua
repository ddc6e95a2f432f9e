-- A map of another life (Redis came back with an old snapshot, or PostgreSQL on another timeline) goes. Nobody believes it, but as long
-- as nobody asks for the show it would stay as it is. One that was made anew meanwhile, or is being loaded, is left alone.
--
-- KEYS  1 map  2 sessions  3 stream of changes   ARGV  1 context
-- Answers 1, or 0: there is none of another context
local context = redis.call('HGET', KEYS[1], 'c')
if not context or context == ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
return 1
