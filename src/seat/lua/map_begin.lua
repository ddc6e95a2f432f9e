-- Who loads a show's map: one at a time. While it loads, map_apply notes every committed change in the same hash, so that
-- what the loader read before a change does not overwrite it.
--
-- KEYS  1 map  2 sessions
-- ARGV  1 context  2 generation (random)  3 ms the loader has
-- Answers {0} there is a map, {1} somebody else is loading, {2} you load
local meta = redis.call('HMGET', KEYS[1], 'c', 'g', 'x')
if meta[1] == ARGV[1] then return {0} end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if not meta[1] and meta[2] and tonumber(meta[3]) > now then return {1} end
redis.call('DEL', KEYS[1], KEYS[2])
-- 'h' is a value that is too long for Redis' compact form of small hashes, in which a field is found by reading all before it:
-- a show of a hundred seats would pay more for a lock than one of fifty thousand
redis.call('HSET', KEYS[1], 'g', ARGV[2], 'x', string.format('%d', now + ARGV[3]), 'h', string.rep('-', 65))
return {2}
