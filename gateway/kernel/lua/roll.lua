#!lua flags=allow-oom
-- roll: closes the registers of past days and opens those of the next, day by day, with the commitments of each.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- KEYS[3] groups
-- KEYS[4] days
-- ARGV[1] server, ARGV[2] epoch: as of every script (include/epoch.lua)
-- ARGV[3] customer
-- ARGV[4] version          entitlements that the commitments were compiled from
-- ARGV[5] meters           how many groups are metered on each of the days
-- ARGV[6] kept_days        rows of older days are dropped
-- ARGV[7] outbox_max
-- ARGV[8...] days          (ordinal from until (group committed)...)..., in order, beginning with the day after the one that is open;
--                          committed -1: nothing is committed on that day
--
-- Answers
--   ROLLED now id day        the day that is open now       STALE now version day       EPOCH now epoch
-- No operation ran since the open day ended (they answer ROLL), so the counts of now are those of each midnight between.

-- @include clock
-- @include registers

local meta_key, outbox_key, groups_key, days_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local customer, version, meters, kept_days, outbox_max, DAYS_AT = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], 8

local now = clock()
-- @include epoch
local head = redis.call('HMGET', groups_key, '!version', '!day', '!until', '!joined', '!audio')
if head[1] ~= version then return {'STALE', now, head[1] or '0', head[2] or '0'} end
local open, open_until = tonumber(head[2]), tonumber(head[3])

-- Every group that has a register, also one whose commitment has ended.
local registers, fields = {}, redis.call('HGETALL', groups_key)
for i = 1, #fields, 2 do
  if string.sub(fields[i], 1, 1) == '#' then registers[string.sub(fields[i], 2)] = read_register(fields[i + 1]) end
end

local function count_of(group)
  return tonumber(redis.call('HGET', groups_key, group) or 0)
end

local known = {}
for group in pairs(registers) do
  known[#known + 1] = group
end
local rows, old, writes, width = {}, {}, {}, 3 + 2 * meters
local joined, audio = tonumber(head[4] or 0), head[5] or nil
for at = DAYS_AT, #ARGV, width do
  local day, from, until_ = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  if day == open + 1 and from == open_until and now >= from then
    local committed = {}
    for m = at + 3, at + width - 1, 2 do
      local quantity = tonumber(ARGV[m + 1])
      if quantity >= 0 then committed[ARGV[m]] = quantity end
    end
    for group, register in pairs(registers) do
      rows[#rows + 1], rows[#rows + 2] = open .. ' ' .. group, pack_register(register)
      old[#old + 1] = (open - kept_days) .. ' ' .. group
      if not committed[group] then
        -- The term has ended: legs that stayed are held at the last commitment (T1.4). Nobody joins them, so they are at most as many as before.
        local held = new_register(register[1], math.min(register[2], count_of(group)), from)
        registers[group] = held[2] > 0 and held or nil
      end
    end
    for group, quantity in pairs(committed) do
      registers[group] = new_register(quantity, count_of(group), from)
    end
    -- Legs that joined on the day, and how many of them were audio-only (T1.2).
    if joined > 0 then rows[#rows + 1], rows[#rows + 2] = open .. ' !joined', joined .. ' ' .. (audio or 0) end
    old[#old + 1] = (open - kept_days) .. ' !joined'
    joined, audio = 0, audio and 0
    open, open_until = day, until_
    writes = {'!day', day, '!from', from, '!until', until_, '!joined', 0}
    if audio then writes[9], writes[10] = '!audio', 0 end
  end
end
if #writes == 0 then return {'ROLLED', now, '', open} end

for group, register in pairs(registers) do
  writes[#writes + 1], writes[#writes + 2] = '#' .. group, pack_register(register)
end
for _, group in ipairs(known) do
  if not registers[group] then redis.call('HDEL', groups_key, '#' .. group) end
end
redis.call('HSET', groups_key, unpack(writes))
if #rows > 0 then redis.call('HSET', days_key, unpack(rows)) end
if #old > 0 then redis.call('HDEL', days_key, unpack(old)) end
local id = redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*',
  'op', 'roll', 'at', now, 'customer', customer, 'day', open)
return {'ROLLED', now, id, open}
