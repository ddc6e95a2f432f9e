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
-- Answers per show {2}: no map; or {0, a request's answer, ...}: 0 admitted; taken: a text of state and seat of each that is, as
-- "L17B18" (one text, because in a crowd these are most of all answers); {3, lock id, ms since it was counted, ...}: the session
-- holds too many
local sub, call, format = string.sub, redis.call, string.format
local limit = tonumber(ARGV[2])
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local ends_text = format('%d', now + ARGV[3])
local lasts = tonumber(ARGV[4])

-- The show whose requests are judged, and what earlier requests of this call have changed of it: a seat's or session's value
-- as it stands after them. nil where there is but one request. (Kept here and not in closures: those are made anew each time.)
local map, sessions, got, fields, whos, held, new_seat, new_session
local set, n_set -- of HSET

-- Request r, which begins at ARGV[begin], its first seat at fields[first + 1].
local function judge(r, begin, first, n)
  local id, who, replaces = ARGV[begin], whos[r], ARGV[begin + 2]
  local taken
  local mine = 0
  local keeps -- places of seats that this lock, or the one it replaces, holds: no marks of this request's
  for i = first + 1, first + n do
    local v = new_seat and new_seat[fields[i]] or got[i]
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
        taken = (taken or '') .. s .. fields[i]
      elseif s ~= 'F' then
        local til = tonumber(sub(v, 28))
        if til == 0 or til > now then
          if owner == replaces then
            -- only what its time has not ended: the rest may be had by anybody
            keeps = keeps or {}
            keeps[i] = true
          else
            taken = (taken or '') .. 'L' .. fields[i]
          end
        end
      end
    end
  end
  if taken then return taken end
  if mine == n then return 0 end -- asked again: already marked for this very lock

  held = held or call('HMGET', sessions, unpack(whos))
  local has = new_session and new_session[who] or held[r]
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
    return over
  end
  local mark = 'P' .. id
  for i = first + 1, first + n do
    if not (keeps and keeps[i]) then
      local seat = fields[i]
      local v = new_seat and new_seat[seat] or got[i]
      local value = mark .. (v and sub(v, 18, 27) or '0000000000') .. ends_text
      set[n_set + 1] = seat
      set[n_set + 2] = value
      n_set = n_set + 2
      if new_seat then new_seat[seat] = value end
    end
  end
  local value = keep .. id .. format('%013d', counts)
  if new_session then
    new_session[who] = value
  else
    call('HSET', sessions, who, value)
  end
  return 0
end

-- Requests of one show from ARGV[at] on; its answer, and where the next show begins.
local function show(at)
  local requests = tonumber(ARGV[at])
  local begins, counts = {}, {}
  local f = 1
  fields, whos = {'c'}, {}
  at = at + 1
  for r = 1, requests do
    local n = tonumber(ARGV[at + 3])
    begins[r] = at
    counts[r] = n
    whos[r] = ARGV[at + 1]
    for i = at + 4, at + 3 + n do
      f = f + 1
      fields[f] = ARGV[i]
    end
    at = at + 4 + n
  end
  got = call('HMGET', map, unpack(fields))
  if got[1] ~= ARGV[1] then return {2}, at end
  held = nil
  new_seat, new_session = nil, nil
  if requests > 1 then new_seat, new_session = {}, {} end
  set, n_set = {}, 0
  local answers = {0}
  f = 1
  for r = 1, requests do
    answers[r + 1] = judge(r, begins[r], f, counts[r])
    f = f + counts[r]
  end
  if n_set > 0 then call('HSET', map, unpack(set)) end
  if new_session and next(new_session) then
    local out, k = {}, 0
    for who, value in pairs(new_session) do
      out[k + 1] = who
      out[k + 2] = value
      k = k + 2
    end
    call('HSET', sessions, unpack(out))
  end
  return answers, at
end

local all, at = {}, 5
for k = 1, #KEYS, 2 do
  local n = #all + 1
  map, sessions = KEYS[k], KEYS[k + 1]
  all[n], at = show(at)
end
return all
