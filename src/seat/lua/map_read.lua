-- All seats that are not free, unless the caller has this version already.
--
-- KEYS  1 map   ARGV  1 context  2 version the caller has, or ''
-- Answers {0, version} you have it, {1, version, ms now, field, value, ...}, {2} no map
local meta = redis.call('HMGET', KEYS[1], 'c', 'e', 'n')
if meta[1] ~= ARGV[1] then return {2} end
local version = meta[2] .. '-' .. meta[3]
if version == ARGV[2] then return {0, version} end
local t = redis.call('TIME')
return {1, version, t[1] * 1000 + math.floor(t[2] / 1000), redis.call('HGETALL', KEYS[1])}
