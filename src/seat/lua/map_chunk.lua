-- Some of the seats that are not free, as read from PostgreSQL; a seat noted since then keeps its newer state.
--
-- KEYS  1 map  2 sessions
-- ARGV  1 generation  2 number of seats, then per seat: seat, state, fence, lock id, ms left; then per session change: session, lock
--       id, ms left
-- Answers 1, or 0 when another loader has taken over
local map = KEYS[1]
if redis.call('HGET', map, 'g') ~= ARGV[1] then return 0 end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local n = tonumber(ARGV[2])
local at = 3
for i = 1, n do
  local left = tonumber(ARGV[at + 4])
  redis.call('HSETNX', map, ARGV[at], ARGV[at + 1] .. ARGV[at + 3] .. string.format('%010d', ARGV[at + 2]) ..
    string.format('%d', left == 0 and 0 or now + left))
  at = at + 5
end
while at + 2 <= #ARGV do
  local held = redis.call('HGET', KEYS[2], ARGV[at]) or ''
  local known = false
  for k = 1, #held, 29 do known = known or string.sub(held, k, k + 15) == ARGV[at + 1] end
  if not known then
    redis.call('HSET', KEYS[2], ARGV[at], held .. ARGV[at + 1] .. string.format('%013d', now + ARGV[at + 2]))
  end
  at = at + 3
end
return 1
