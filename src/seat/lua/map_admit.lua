-- Admission of lock requests: each is refused naming the seats that are not free, or all its seats are marked pending.
-- Requests that came in the same turn of a process share one call, also those for different shows (where all keys are on one
-- server); they are judged one after the other, as if each had its own. Atomic, so no other lock is needed around it.
--
-- KEYS  per show: its map, the locks of its sessions
-- ARGV  1 context (server run id and database timeline: a map made under another one is worthless)
--       2 locks a session may hold  3 ms a pending mark lasts  4 ms a lock lasts
--       then per show: number of requests, and per request: lock id, session, lock it replaces or '', number of seats, seats
--
-- A seat's value: state (P pending, L locked, B booked, X blocked, F free: only while loading), lock id (16 bytes), fence
-- (10 digits), end in ms of this server's clock (0: none). Ends are only ever compared with the clock they were made by.
-- A session's value: per lock its id (16 bytes) and end (13 digits). It is counted from here on as long as a lock lasts; one
-- that was never made in the end is taken out again (map_apply), or found to be none when the session is at its limit.
--
-- Answers per show {2}: no map; or {0, a request's answer, ...}: 0 admitted, {1, seat, state, ...} taken, {3, lock id, ms since
-- it was counted, ...} the session holds too many
local sub, call, format = string.sub, redis.call, string.format
local limit = tonumber(ARGV[2])
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local ends_text = format('%d', now + ARGV[3])
local lasts = tonumber(ARGV[4])

local function flat(changes)
  local out, k = {}, 0
  for field, value in pairs(changes) do
    out[k + 1] = field
    out[k + 2] = value
    k = k + 2
  end
  return out
end

-- Requests of one show from ARGV[at] on; its answer, and where the next show begins.
local function show(map, sessions, at)
  local requests = tonumber(ARGV[at])
  local fields, whos, begins = {'c'}, {}, {}
  local f = 1
  at = at + 1
  for r = 1, requests do
    local n = tonumber(ARGV[at + 3])
    begins[r] = at
    whos[r] = ARGV[at + 1]
    for i = at + 4, at + 3 + n do
      f = f + 1
      fields[f] = ARGV[i]
    end
    at = at + 4 + n
  end
  local got = call('HMGET', map, unpack(fields))
  if got[1] ~= ARGV[1] then return {2}, at end

  -- what earlier requests of this call have changed; a seat's or session's value as it stands after them
  local new_seat, new_session = {}, {}
  local held -- values of the sessions, read when the first of them is asked about

  local function judge(r, first)
    local begin = begins[r]
    local id, who, replaces, n = ARGV[begin], whos[r], ARGV[begin + 2], tonumber(ARGV[begin + 3])
    local taken
    local mine = 0
    local keeps -- places of seats that this lock, or the one it replaces, holds: no marks of this request's
    for i = 1, n do
      local seat = fields[first + i]
      local v = new_seat[seat] or got[first + i]
      if v then
        local s = sub(v, 1, 1)
        local owner = sub(v, 2, 17)
        if owner == id and (s == 'P' or s == 'L') then
          mine = mine + 1
          if s == 'L' then
            keeps = keeps or {}
            keeps[i] = true
          end
        elseif s == 'B' or s == 'X' then
          taken = taken or {1}
          taken[#taken + 1] = seat
          taken[#taken + 1] = s
        elseif s ~= 'F' then
          local til = tonumber(sub(v, 28))
          if til == 0 or til > now then
            if owner == replaces then
              -- only what its time has not ended: the rest may be had by anybody
              keeps = keeps or {}
              keeps[i] = true
            else
              taken = taken or {1}
              taken[#taken + 1] = seat
              taken[#taken + 1] = 'L'
            end
          end
        end
      end
    end
    if taken then return taken, n end
    if mine == n then return 0, n end -- asked again: already marked for this very lock

    held = held or call('HMGET', sessions, unpack(whos))
    local has = new_session[who] or held[r]
    local keep, count = '', 0
    local counts = now + lasts -- a lock of this id that is there already (asked again with other seats) counts on as it did
    if has then
      for k = 1, #has, 29 do
        local lock = sub(has, k, k + 15)
        local til = tonumber(sub(has, k + 16, k + 28))
        if lock == id then
          counts = math.max(counts, til)
        elseif til > now then
          keep = keep .. sub(has, k, k + 28)
          if lock ~= replaces then count = count + 1 end
        end
      end
    end
    if count >= limit then
      local over = {3}
      for k = 1, #keep, 29 do
        over[#over + 1] = sub(keep, k, k + 15)
        over[#over + 1] = lasts - (tonumber(sub(keep, k + 16, k + 28)) - now)
      end
      return over, n
    end
    for i = 1, n do
      if not (keeps and keeps[i]) then
        local seat = fields[first + i]
        local v = new_seat[seat] or got[first + i]
        new_seat[seat] = 'P' .. id .. (v and sub(v, 18, 27) or '0000000000') .. ends_text
      end
    end
    new_session[who] = keep .. id .. format('%013d', counts)
    return 0, n
  end

  local answers = {0}
  f = 1
  for r = 1, requests do
    local n
    answers[r + 1], n = judge(r, f)
    f = f + n
  end
  if next(new_seat) then call('HSET', map, unpack(flat(new_seat))) end
  if next(new_session) then call('HSET', sessions, unpack(flat(new_session))) end
  return answers, at
end

local all, at = {}, 5
for k = 1, #KEYS, 2 do
  local n = #all + 1
  all[n], at = show(KEYS[k], KEYS[k + 1], at)
end
return all
