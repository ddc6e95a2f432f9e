-- What PostgreSQL has committed, written into the maps of shows; also the withdrawal of pending marks.
-- A seat's fence grows with every committed change, so an older change never undoes a newer one, in whatever order they
-- arrive. Every change of a map gets the next version number; while somebody watches the show ('w' of its map: until when, in
-- ms of this server's clock) it also gets an entry in the show's stream.
--
-- KEYS  per show: map, sessions, stream of changes; several where all keys are on one server
-- ARGV  1 context  2 length a stream is kept to
--       then per show: number of seats, number of session changes,
--       per run of seats that were changed alike: state (L B X F; R: withdraw the pending mark; a small letter and a fence: a
--       repair, taken if the seat still has that fence), lock id, ms left (0: for ever), number of seats, and per seat its
--       number and fence (10 digits),
--       per session change: session, lock id, ms left (0: remove)
--
-- Answers per show the number of changes, or -1: there is no map to change
local sub, format, call = string.sub, string.format, redis.call
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local META = 3

-- as in map_admit: a seat's value is state, lock id, fence, end; fences have one width, so that they compare as text
local function change_seats(map, stream, n, at)
  local fields = {'c', 'n', 'w'}
  local from, f = at, META
  while f < n + META do
    local count = tonumber(ARGV[at + 3])
    for i = at + 4, at + 2 + 2 * count, 2 do
      f = f + 1
      fields[f] = ARGV[i]
    end
    at = at + 4 + 2 * count
  end
  local got
  if n <= 2000 then
    got = call('HMGET', map, unpack(fields))
  else
    got = {}
    for first = 1, #fields, 2000 do
      local part = call('HMGET', map, unpack(fields, first, math.min(#fields, first + 1999)))
      for i = 1, #part do got[first + i - 1] = part[i] end
    end
  end
  local loaded = got[1] == ARGV[1]
  if not loaded and not call('HGET', map, 'g') then return -1, at end

  local watched = got[3] and tonumber(got[3]) > now
  local changed = watched and {}
  local set, del, freed = {}, nil, nil
  local n_changed, n_set = 0, 0
  local i = from
  f = META
  while f < n + META do
    local kind, lock, left, count = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
    local seen
    if #kind > 1 then
      seen = format('%010d', tonumber(sub(kind, 2)))
      kind = string.upper(sub(kind, 1, 1))
    end
    local til = left == 0 and '0' or format('%d', now + left)
    i = i + 4
    for _ = 1, count do
      local seat, fence = ARGV[i], ARGV[i + 1]
      f = f + 1
      i = i + 2
      local v = got[f]
      if kind == 'R' then
        if v and sub(v, 1, 1) == 'P' and sub(v, 2, 17) == lock then
          del = del or {}
          del[#del + 1] = seat
          n_changed = n_changed + 1
          if watched then changed[n_changed] = seat .. ':F' end
        end
      else
        local known, s = '', 'F'
        if v then known, s = sub(v, 18, 27), sub(v, 1, 1) end
        local newer = fence > known
        if seen then
          local ends = v and s ~= 'F' and tonumber(sub(v, 28))
          local none = not ends or (ends ~= 0 and ends <= now) -- what is over or broken was seen as nothing
          newer = (none or fence >= known or seen == known) and s ~= 'P'
        end
        -- A mark that is only pending gives way to what is committed, but a committed 'free' leaves another one's pending
        -- mark alone unless that mark is older than the change.
        if s == 'P' and not newer and kind ~= 'F' then newer = true end
        if newer then
          if kind == 'F' then
            if s == 'P' and sub(v, 2, 17) ~= lock then
              -- somebody else is being admitted to it right now
            elseif loaded then
              if v then
                del = del or {}
                del[#del + 1] = seat
              end
            else
              set[n_set + 1] = seat
              set[n_set + 2] = 'F' .. lock .. fence .. '0'
              n_set = n_set + 2
              freed = freed or {}
              freed[#freed + 1] = seat
            end
          else
            set[n_set + 1] = seat
            set[n_set + 2] = kind .. lock .. fence .. til
            n_set = n_set + 2
          end
          if kind ~= s then
            n_changed = n_changed + 1
            if watched then changed[n_changed] = seat .. ':' .. kind end
          end
        end
      end
    end
  end

  local answer = 0
  if loaded and n_changed > 0 then
    local number = format('%d', got[2] + 1)
    set[n_set + 1] = 'n'
    set[n_set + 2] = number
    n_set = n_set + 2
    answer = n_changed
    if watched then
      local version = call('HGET', map, 'e') .. '-' .. number
      call('XADD', stream, 'MAXLEN', '~', ARGV[2], '*', 'v', version, 'd', table.concat(changed, ','))
      call('EXPIRE', stream, 86400) -- as long as a map (map_finish): nobody asks for changes of one that is gone
    end
  elseif freed then
    set[n_set + 1] = 'f'
    set[n_set + 2] = (call('HGET', map, 'f') or '') .. table.concat(freed, ',') .. ','
    n_set = n_set + 2
  end
  for first = 1, n_set, 4000 do call('HSET', map, unpack(set, first, math.min(n_set, first + 3999))) end
  if del then
    for first = 1, #del, 4000 do call('HDEL', map, unpack(del, first, math.min(#del, first + 3999))) end
  end
  return answer, at
end

-- so many at a time that none is there twice
local function change_sessions(sessions, at, last)
  while at < last do
    local whos, place, to = {}, {}, at
    while to < last and #whos < 1000 and not place[ARGV[to]] do
      whos[#whos + 1] = ARGV[to]
      place[ARGV[to]] = true
      to = to + 3
    end
    local held, put, gone = call('HMGET', sessions, unpack(whos)), {}, {}
    for w = 1, #whos do
      local lock, left = ARGV[at + 1], tonumber(ARGV[at + 2])
      local has, keep = held[w], ''
      at = at + 3
      if has then
        for k = 1, #has, 29 do
          if sub(has, k, k + 15) ~= lock and tonumber(sub(has, k + 16, k + 28)) > now then
            keep = keep .. sub(has, k, k + 28)
          end
        end
      end
      if left > 0 then keep = keep .. lock .. format('%013d', now + left) end
      if keep ~= '' then
        put[#put + 1] = whos[w]
        put[#put + 1] = keep
      elseif has then
        gone[#gone + 1] = whos[w]
      end
    end
    if #put > 0 then call('HSET', sessions, unpack(put)) end
    if #gone > 0 then call('HDEL', sessions, unpack(gone)) end
  end
end

local answers, at = {}, 3
for k = 1, #KEYS, 3 do
  local seats, changes = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local n = #answers + 1
  answers[n], at = change_seats(KEYS[k], KEYS[k + 2], seats, at + 2)
  local last = at + 3 * changes
  if changes > 0 and answers[n] ~= -1 then change_sessions(KEYS[k + 1], at, last) end
  at = last
end
return answers
