#!lua
-- move: one step from a meeting or role to another: gives back what the leg held and takes the new claims, or changes nothing.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- KEYS[3] groups
-- KEYS[4] legs
-- KEYS[5] past
-- ARGV[1...15] as of admit; the lease stays as it is, an empty node leaves the owner
-- ARGV[16] held            fingerprint that the leg has as yet
-- ARGV[17...] alternatives see include/checks.lua
--
-- Answers: as of admit, without CONFLICT; also
--   UNKNOWN now              no such leg            MOVED now              the leg is not (any more) what `held` says
-- Checked on the net change of each group: one that the leg stays in, or that grows no further than it was, refuses nothing.

-- @include clock
-- @include legs
-- @include registers
local ALTERNATIVES_AT = 17
-- @include checks
-- @include remember
-- @include take
-- @include give

local meta_key, outbox_key, groups_key, legs_key, past_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local customer, connection, fingerprint, deadline = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local version, day, shadow, bind_group, facts = ARGV[5], ARGV[6], ARGV[7] == '1', ARGV[8], ARGV[9]
local person, node, outbox_max, held = ARGV[10], ARGV[14], ARGV[15], ARGV[16]

local now = clock()
local leg, ended = find_leg(legs_key, connection, now)
if ended then return {'RELEASED', now} end
if not leg then return {'UNKNOWN', now} end
if leg[FINGERPRINT] == fingerprint then return replay(groups_key, leg, now) end
if leg[FINGERPRINT] ~= held then return {'MOVED', now} end
if now > deadline then return {'LATE', now} end

local function reread()
  return read_state(groups_key, past_key, bind_group, person)
end
local state = reread()
local stale = staleness(state, now, version, day, facts)
if stale then return stale end
if state.from and now < state.from then now = state.from end

local counts, emptied, again = {}, {}, {}
give(groups_key, leg[GROUPS], counts, emptied)
for _, group in ipairs(leg[GROUPS]) do
  again[group] = true
end
local function without_the_leg(read)
  read.before, read.n = read.n, {}
  for i = 1, read.size do
    read.n[i] = counts[field(i, GROUP)] or read.before[i]
  end
end

local alternative, taken, failed
alternative, state, taken, failed = choose(state, reread, without_the_leg, now)
local epoch, info = redis.call('HGET', meta_key, 'epoch'), ARGV[checks_at - 2]
if failed and (not shadow or state.version == '0') then
  local answer = denial(groups_key, state, alternative, failed, now)
  if state.version ~= '0' then
    redis.call('HINCRBY', groups_key, '-' .. field(failed, REASON), 1)
    redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*',
      'op', 'deny', 'at', now, 'customer', customer, 'connection', connection, 'reason', field(failed, REASON), 'info', info)
  end
  return answer
end

local would_deny, overage, groups, writes, deletes = '', 0, {}, {}, {}
if failed then
  would_deny = field(failed, REASON)
  redis.call('HINCRBY', groups_key, '~' .. would_deny, 1)
else
  groups, overage = take(groups_key, past_key, state, taken, bind_group, leg[CONNECTED] > 0, again, now, writes)
  for i = 1, state.size do
    if taken[i] then counts[field(i, GROUP)] = state.n[i] + 1 end
  end
  if person ~= '' and state.audio then
    groups[#groups + 1] = person
    counts[person] = (counts[person] or state.person) + 1
  end
end
if (would_deny ~= '') ~= (leg[WOULD_DENY] ~= '') then
  writes[#writes + 1], writes[#writes + 2] = '!shadow', state.shadow + (would_deny ~= '' and 1 or -1)
end
for group, count in pairs(counts) do
  if count > 0 then writes[#writes + 1], writes[#writes + 2] = group, count end
end
for _, group in ipairs(emptied) do
  if counts[group] == 0 then forget(groups_key, past_key, group, counts, now, writes, deletes) end
end
local packed = cmsgpack.pack({
  leg[ADMITTED], leg[CONNECTED], leg[LEASE], node ~= '' and node or leg[NODE], fingerprint, groups, overage, would_deny, info,
})
if #deletes > 0 then redis.call('HDEL', groups_key, unpack(deletes)) end
if #writes > 0 then redis.call('HSET', groups_key, unpack(writes)) end
redis.call('HSET', legs_key, connection, packed)
redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*',
  'op', 'move', 'at', now, 'customer', customer, 'connection', connection, 'leg', packed)
if failed then return {'SHADOW', now, alternative, failed, state.n[failed]} end
return append_counts({'ADMIT', now, alternative, overage}, state, taken)
