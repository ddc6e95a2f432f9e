-- The map is complete: from now on it is asked and changed. Its epoch is new, so that viewers of the one before start again.
--
-- A day later it is made anew, and what nobody asks for any more is gone.
--
-- KEYS  1 map  2 stream of changes  3 sessions   ARGV  1 generation  2 context, or '': it could not be read  3 epoch
-- Answers 1, or 0 when another loader has taken over
local map = KEYS[1]
local meta = redis.call('HMGET', map, 'g', 'f')
if meta[1] ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
  redis.call('DEL', map)
  return 0
end
if meta[2] then
  for seat in string.gmatch(meta[2], '%d+') do
    local v = redis.call('HGET', map, seat)
    if v and string.sub(v, 1, 1) == 'F' then redis.call('HDEL', map, seat) end
  end
end
redis.call('HDEL', map, 'g', 'x', 'f')
redis.call('HSET', map, 'c', ARGV[2], 'e', ARGV[3], 'n', 1)
redis.call('DEL', KEYS[2])
redis.call('EXPIRE', map, 86400)
redis.call('HSET', KEYS[3], 'h', '') -- so that there is something to end
redis.call('EXPIRE', KEYS[3], 86400)
return 1
