#!lua
-- admit: decides a join and takes all of its claims, or none.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- KEYS[3] groups
-- KEYS[4] legs
-- KEYS[5] leases
-- KEYS[6] past
-- ARGV[1] customer
-- ARGV[2] connection
-- ARGV[3] fingerprint
-- ARGV[4] deadline_ms      instant after which nothing may be taken, by the store's clock
-- ARGV[5] version          entitlements that the claims were compiled from; 0: customer unknown
-- ARGV[6] day              ordinal of the day that they were compiled for
-- ARGV[7] shadow           1: let in what the checks would deny, and take nothing for it
-- ARGV[8] bind_group       group that keeps the facts of the meeting
-- ARGV[9] facts            those of the live meeting that the claims were compiled for; empty: for one that is not live
-- ARGV[10] person_group    counts the legs of who joins; empty: nobody is named
-- ARGV[11] audio           the leg is audio-only: `no`, `alone` (as long as it is alone in person_group), `yes`
-- ARGV[12] lease_ms
-- ARGV[13] connected       1: connected at once; 0: provisional until confirmed
-- ARGV[14] node
-- ARGV[15] outbox_max      entries kept of the bucket's outbox
-- ARGV[16...] alternatives see include/checks.lua; the info of each is kept with the leg, not looked into
--
-- Answers
--   ADMIT now alternative overage count...      REPLAY now admitted connected lease overage would_deny info (group count)...
--   SHADOW now alternative check use            DENY now alternative check use child
--   CONFLICT now | RELEASED now | LATE now | STALE now version [day] | ROLL now version day | BOUND now [facts]
-- Only ADMIT and SHADOW take anything; DENY of a known customer adds to its tally and to the outbox.

-- @include clock
-- @include legs
-- @include registers
local ALTERNATIVES_AT = 16
-- @include checks
-- @include remember
-- @include take

local meta_key, outbox_key, groups_key, legs_key, leases_key, past_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local customer, connection, fingerprint, deadline = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local version, day, shadow, bind_group, facts = ARGV[5], ARGV[6], ARGV[7] == '1', ARGV[8], ARGV[9]
local person, audio, lease_ms, connected, node = ARGV[10], ARGV[11], tonumber(ARGV[12]), ARGV[13] == '1', ARGV[14]
local outbox_max = ARGV[15]

local now = clock()
local leg, ended = find_leg(legs_key, connection, now)
if ended then return {'RELEASED', now} end
if leg then
  if leg[FINGERPRINT] ~= fingerprint then return {'CONFLICT', now} end
  if leg[CONNECTED] == 0 then redis.call('ZADD', leases_key, 'XX', now + leg[LEASE], connection) end
  return replay(groups_key, leg, now)
end
if now > deadline then return {'LATE', now} end

local function reread()
  return read_state(groups_key, past_key, bind_group, person)
end
local state = reread()
local stale = staleness(state, now, version, day, facts)
if stale then return stale end
-- A failover to a slower clock must not bring back a day that was rolled.
if state.from and now < state.from then now = state.from end

local alternative, taken, failed
alternative, state, taken, failed = choose(state, reread, nil, now)
if failed and state.version == '0' then return denial(groups_key, state, alternative, failed, now) end

local epoch, info = redis.call('HGET', meta_key, 'epoch'), ARGV[checks_at - 2]
if failed and not shadow then
  local answer = denial(groups_key, state, alternative, failed, now)
  redis.call('HINCRBY', groups_key, '-' .. field(failed, REASON), 1)
  redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*',
    'op', 'deny', 'at', now, 'customer', customer, 'connection', connection, 'reason', field(failed, REASON), 'info', info)
  return answer
end

local would_deny, overage, groups, writes = '', 0, {}, {'!joined', state.joined + 1}
if failed then
  would_deny = field(failed, REASON)
  writes[3], writes[4] = '!shadow', state.shadow + 1
  redis.call('HINCRBY', groups_key, '~' .. would_deny, 1)
else
  groups, overage = take(groups_key, past_key, state, taken, bind_group, connected, {}, now, writes)
  local tallied = audio == 'yes' and 1 or 0
  -- Persons are counted only where it can matter: for customers that have had a telephone leg.
  if person ~= '' and (state.audio or audio == 'alone') then
    groups[#groups + 1] = person
    writes[#writes + 1], writes[#writes + 2] = person, state.person + 1
    if state.person == 0 and audio == 'alone' then
      tallied = 1
      writes[#writes + 1], writes[#writes + 2] = '^' .. person, day
    elseif state.person == 1 then
      local alone = redis.call('HGET', groups_key, '^' .. person)
      if alone == day then tallied = tallied - 1 end
      if alone then writes[#writes + 1], writes[#writes + 2] = '^' .. person, '' end
    end
  end
  if audio ~= 'no' or tallied ~= 0 then
    writes[#writes + 1], writes[#writes + 2] = '!audio', math.max((state.audio or 0) + tallied, 0)
  end
end
local packed = cmsgpack.pack({now, connected and now or 0, lease_ms, node, fingerprint, groups, overage, would_deny, info})
redis.call('HSET', groups_key, unpack(writes))
redis.call('HSET', legs_key, connection, packed)
redis.call('ZADD', leases_key, now + lease_ms, connection)
redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*',
  'op', 'admit', 'at', now, 'customer', customer, 'connection', connection, 'leg', packed)
if failed then return {'SHADOW', now, alternative, failed, state.n[failed]} end
return append_counts({'ADMIT', now, alternative, overage}, state, taken)
