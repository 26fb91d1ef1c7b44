#!lua
-- move: one step from a meeting or role to another: gives back what the leg held and takes the new claims, or changes nothing.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- KEYS[3] groups
-- KEYS[4] legs
-- KEYS[5] past
-- KEYS[6] leases
-- ARGV[1...19] as of admit; the lease stays as it is, an empty node leaves the owner
-- ARGV[20] held            fingerprint that the leg has as yet
-- ARGV[21] quiet           1: it is not noted where a group that the leg attended is left empty
-- ARGV[22...] alternatives see include/decide.lua
--
-- Answers: as of admit, without CONFLICT and FULL; RECOVERING only where the leg is not known; also
--   UNKNOWN now              no such leg            MOVED now              the leg is not (any more) what `held` says
-- Checked on the net change of each group: one that the leg stays in, or that grows no further than it was, refuses nothing.

-- @include clock
-- @include legs
local ALTERNATIVES_AT, MARKS_MAX, SPELLS_MAX = 22, 100000, 1000

local meta_key, outbox_key, groups_key, legs_key, past_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local customer, connection, fingerprint = ARGV[3], ARGV[4], ARGV[5]
local version, day, bind_group, facts, person = ARGV[7], ARGV[8], ARGV[10], ARGV[11], ARGV[12]
local node, outbox_max = ARGV[16], ARGV[17]
local quiet, lapses_key, leg, leases_key = ARGV[21] == '1', KEYS[6], nil, nil

local now = clock()
-- @include epoch
-- @include replay
if not leg then
  -- It may be among what nodes are bringing back.
  if meta[3] and now < tonumber(meta[3]) then return {'RECOVERING', now} end
  return {'UNKNOWN', now}
end
if leg[FINGERPRINT] ~= ARGV[20] then return {'MOVED', now} end
if now > math.floor(tonumber(ARGV[6]) / 4096) then return {'LATE', now} end
-- @include give
local held, again, connected = counts, {}, leg[CONNECTED] > 0
for _, group in ipairs(leg[GROUPS]) do
  again[group] = true
end
-- Pending marks that are given back with the groups that empty.
local freed = {}
for _, group in ipairs(emptied) do
  for name in string.gmatch(redis.call('HGET', groups_key, '*' .. group) or '', '[^\30]+') do
    local set, record = string.match(name, '^=(.-)\31'), redis.call('HGET', past_key, name)
    if set and record and string.sub(record, -2) == ' 0' then freed['+' .. set] = (freed['+' .. set] or 0) + 1 end
  end
end
-- @include decide

local info = ARGV[at + 1]
local would_deny, overage, groups, writes, deletes = '', 0, {}, {}, {}
if failed then
  -- @include refuse
else
  -- @include take
  for k = 1, size do
    if taken[k] then counts[ARGV[at + 6 * k - 2]] = n[k] + 1 end
  end
  if person ~= '' and head[7] then
    groups[#groups + 1] = person
    counts[person] = (counts[person] or tonumber(head[9] or 0)) + 1
  end
end
if (would_deny ~= '') ~= (leg[WOULD_DENY] ~= '') then
  writes[#writes + 1], writes[#writes + 2] = '!shadow', (head[5] or 0) + (would_deny ~= '' and 1 or -1)
end
for group, count in pairs(counts) do
  if count > 0 then writes[#writes + 1], writes[#writes + 2] = group, count end
end
-- @include forget
local packed = cmsgpack.pack({
  leg[ADMITTED], leg[CONNECTED], leg[LEASE], node ~= '' and node or leg[NODE], fingerprint, groups, overage, would_deny, info,
  leg[ADOPTED], 0,
})
if #deletes > 0 then redis.call('HDEL', groups_key, unpack(deletes)) end
if #writes > 0 then redis.call('HSET', groups_key, unpack(writes)) end
redis.call('HSET', legs_key, connection, packed)
local id = redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*',
  'op', 'move', 'at', now, 'customer', customer, 'connection', connection, 'leg', packed)
if failed then return {'SHADOW', now, id, alternative, failed, n[failed]} end
local answer = {'ADMIT', now, id, alternative, overage}
for k = 1, size do
  answer[5 + k] = taken[k] and n[k] + 1 or n[k]
end
return answer
