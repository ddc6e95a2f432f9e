-- What PostgreSQL has committed, written into a show's map; also the withdrawal of pending marks.
-- A seat's fence grows with every committed change, so an older change never undoes a newer one, in whatever order they
-- arrive. Every change of the map gets the next version number and one entry in the show's stream.
--
-- KEYS  1 map  2 sessions  3 stream of changes
-- ARGV  1 context  2 number of seat changes  3 length the stream is kept to
--       then per seat change: seat, state (L B X F; R: withdraw the pending mark; a small letter and a fence: a repair,
--       taken if the seat still has that fence), fence, lock id, ms left (0: for ever)
--       then per session change: session, lock id, ms left (0: remove)
--
-- Answers {number of changes, version} or {-1}: there is no map to change
local map, sessions = KEYS[1], KEYS[2]
local meta = redis.call('HMGET', map, 'c', 'g', 'e', 'f')
local loaded = meta[1] == ARGV[1]
if not loaded and not meta[2] then return {-1} end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local n = tonumber(ARGV[2])
local at = 4
local changed = {}
local set, del, freed = {}, {}, {}
if n > 0 then
  local seats = {}
  for i = 1, n do seats[i] = ARGV[at + 5 * (i - 1)] end
  local got = {}
  for from = 1, n, 1000 do
    local part = redis.call('HMGET', map, unpack(seats, from, math.min(n, from + 999)))
    for i = 1, #part do got[from + i - 1] = part[i] end
  end
  for i = 1, n do
    local seat, state, fence, lock, left = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3], tonumber(ARGV[at + 4])
    local v = got[i]
    at = at + 5
    if state == 'R' then
      if v and string.sub(v, 1, 1) == 'P' and string.sub(v, 2, 17) == lock then
        del[#del + 1] = seat
        changed[#changed + 1] = seat .. ':F'
      end
    else
      local known = v and tonumber(string.sub(v, 18, 27)) or -1
      local s = v and string.sub(v, 1, 1) or 'F'
      local newer = fence > known
      if #state > 1 then
        local seen = tonumber(string.sub(state, 2))
        local ends = v and s ~= 'F' and tonumber(string.sub(v, 28))
        if not ends or (ends ~= 0 and ends <= now) then known = -1 end -- what is over or broken was seen as nothing
        state = string.upper(string.sub(state, 1, 1))
        newer = (fence >= known or seen == known) and s ~= 'P'
      end
      -- A mark that is only pending gives way to what is committed, but a committed 'free' leaves another one's pending
      -- mark alone unless that mark is older than the change.
      if s == 'P' and not newer and state ~= 'F' then newer = true end
      if newer then
        if state == 'F' then
          if s == 'P' and string.sub(v, 2, 17) ~= lock then
            -- somebody else is being admitted to it right now
          elseif loaded then
            if v then del[#del + 1] = seat end
          else
            set[#set + 1] = seat
            set[#set + 1] = 'F' .. lock .. string.format('%010d', fence) .. '0'
            freed[#freed + 1] = seat
          end
        else
          set[#set + 1] = seat
          set[#set + 1] = state .. lock .. string.format('%010d', fence) .. string.format('%d', left == 0 and 0 or now + left)
        end
        if state ~= s then changed[#changed + 1] = seat .. ':' .. state end
      end
    end
  end
  for from = 1, #set, 2000 do redis.call('HSET', map, unpack(set, from, math.min(#set, from + 1999))) end
  for from = 1, #del, 2000 do redis.call('HDEL', map, unpack(del, from, math.min(#del, from + 1999))) end
  if #freed > 0 then redis.call('HSET', map, 'f', (meta[4] or '') .. table.concat(freed, ',') .. ',') end
end

while at + 2 <= #ARGV do
  local who, lock, left = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local held = redis.call('HGET', sessions, who)
  local keep = ''
  at = at + 3
  if held then
    for k = 1, #held, 29 do
      if string.sub(held, k, k + 15) ~= lock and tonumber(string.sub(held, k + 16, k + 28)) > now then
        keep = keep .. string.sub(held, k, k + 28)
      end
    end
  end
  if left > 0 then keep = keep .. lock .. string.format('%013d', now + left) end
  if keep == '' then
    if held then redis.call('HDEL', sessions, who) end
  else
    redis.call('HSET', sessions, who, keep)
  end
end

if not loaded then return {0, ''} end
if #changed == 0 then return {0, ''} end
local version = meta[3] .. '-' .. redis.call('HINCRBY', map, 'n', 1)
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], '*', 'v', version, 'd', table.concat(changed, ','))
return {#changed, version}
