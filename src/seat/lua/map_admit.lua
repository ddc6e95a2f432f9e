-- Admission of one lock request: refuses it naming the seats that are not free, or marks all of them pending.
-- Atomic, so no other lock is needed around it.
--
-- KEYS  1 the show's map   2 the locks of its sessions
-- ARGV  1 context (server run id and database timeline: a map made under another one is worthless)
--       2 lock id  3 session  4 lock it replaces or ''  5 locks a session may hold  6 ms a pending mark lasts  7.. seats
--
-- A seat's value: state (P pending, L locked, B booked, X blocked, F free: only while loading), lock id (16 bytes), fence
-- (10 digits), end in ms of this server's clock (0: none). Ends are only ever compared with the clock they were made by.
--
-- Answers {0} admitted, {1, seat, state, ...} taken, {2} no map, {3, lock id, ...} the session holds too many
local map, sessions = KEYS[1], KEYS[2]
local id, who, replaces = ARGV[2], ARGV[3], ARGV[4]
local got = redis.call('HMGET', map, 'c', unpack(ARGV, 7))
if got[1] ~= ARGV[1] then return {2} end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local taken = {1}
local mine = 0
local held_on = {} -- argument: true, of seats the replaced lock holds
for i = 7, #ARGV do
  local v = got[i - 5]
  if v then
    local s = string.sub(v, 1, 1)
    local owner = string.sub(v, 2, 17)
    if owner == id and (s == 'P' or s == 'L') then
      mine = mine + 1
    elseif s == 'B' or s == 'X' then
      taken[#taken + 1] = ARGV[i]
      taken[#taken + 1] = s
    elseif s ~= 'F' then
      local ends = tonumber(string.sub(v, 28))
      if owner == replaces then
        held_on[i] = ends == 0 or ends > now
      elseif ends == 0 or ends > now then
        taken[#taken + 1] = ARGV[i]
        taken[#taken + 1] = 'L'
      end
    end
  end
end
if #taken > 1 then return taken end
if mine == #ARGV - 6 then return {0} end -- asked again: already marked for this very lock

local held = redis.call('HGET', sessions, who)
local keep, count = '', 0
local ends = now + ARGV[6]
local counts = ends -- a lock of this id that is there already (asked again with other seats) counts on as long as it did
if held then
  for at = 1, #held, 29 do
    local lock = string.sub(held, at, at + 15)
    local til = tonumber(string.sub(held, at + 16, at + 28))
    if lock == id then
      counts = math.max(counts, til)
    elseif til > now then
      keep = keep .. string.sub(held, at, at + 28)
      if lock ~= replaces then count = count + 1 end
    end
  end
end
if count >= tonumber(ARGV[5]) then
  local over = {3}
  for at = 1, #keep, 29 do over[#over + 1] = string.sub(keep, at, at + 15) end
  return over
end

local set = {}
for i = 7, #ARGV do
  local v = got[i - 5]
  -- What this very lock holds already, or the one it replaces, is no mark of this request's: it outlives its refusal. (Of
  -- the replaced lock only what its time has not ended: that may be had by anybody.)
  local owner = v and string.sub(v, 2, 17)
  if not (v and string.sub(v, 1, 1) == 'L' and owner == id) and not (v and owner == replaces and held_on[i]) then
    local fence = v and string.sub(v, 18, 27) or '0000000000'
    set[#set + 1] = ARGV[i]
    set[#set + 1] = 'P' .. id .. fence .. string.format('%d', ends)
  end
end
if #set > 0 then redis.call('HSET', map, unpack(set)) end
redis.call('HSET', sessions, who, keep .. id .. string.format('%013d', counts))
return {0}
