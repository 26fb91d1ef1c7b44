#!lua
-- admit: decides a join and takes all of its claims, or none.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- KEYS[3] groups
-- KEYS[4] legs
-- KEYS[5] leases
-- ARGV[1] customer
-- ARGV[2] connection
-- ARGV[3] fingerprint
-- ARGV[4] deadline_ms      instant after which nothing may be taken, by the store's clock
-- ARGV[5] version          entitlements that the claims were compiled from; 0: customer unknown
-- ARGV[6] day              ordinal of the day that they were compiled for
-- ARGV[7] shadow           1: let in what the checks would deny, and take nothing for it
-- ARGV[8] bind_group       group whose facts are fixed when it goes live
-- ARGV[9] binding          those facts
-- ARGV[10] bound           1: the claims were compiled for a group that is live with these facts
-- ARGV[11] lease_ms
-- ARGV[12] connected       1: connected at once; 0: provisional until confirmed
-- ARGV[13] node
-- ARGV[14] info            kept with the leg, not looked into
-- ARGV[15] outbox_max      entries kept of the bucket's outbox
-- ARGV[16...] checks       see include/checks.lua
--
-- Answers
--   ADMIT now overage count...             REPLAY now admitted connected lease overage would_deny info (group count)...
--   SHADOW now check use child             DENY now check use child
--   CONFLICT now | RELEASED now | LATE now | STALE now version [day] | ROLL now version day | BOUND now [binding]
-- Only ADMIT and SHADOW take anything; DENY of a known customer adds to its tally and to the outbox.

-- @include clock
-- @include legs
-- @include registers
local CHECKS_AT = 16
-- @include checks

local meta_key, outbox_key, groups_key, legs_key, leases_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local customer, connection, fingerprint, deadline = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local version, day, shadow, bind_group, binding = ARGV[5], ARGV[6], ARGV[7] == '1', ARGV[8], ARGV[9]
local bound, lease_ms, connected, node, info = ARGV[10] == '1', tonumber(ARGV[11]), ARGV[12] == '1', ARGV[13], ARGV[14]
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

local state = read_state(groups_key, bind_group)
local stale = staleness(state, now, version, day, binding, bound)
if stale then return stale end
-- A failover to a slower clock must not bring back a day that was rolled.
if state.from and now < state.from then now = state.from end

local taken = reach(state)
local failed = first_failure(state, taken)
if failed and state.version == '0' then return denial(groups_key, state, failed, now) end

local epoch = redis.call('HGET', meta_key, 'epoch')
if failed and not shadow then
  local answer = denial(groups_key, state, failed, now)
  redis.call('HINCRBY', groups_key, '-' .. field(failed, REASON), 1)
  redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*',
    'op', 'deny', 'at', now, 'customer', customer, 'connection', connection, 'reason', field(failed, REASON), 'info', info)
  return answer
end

local would_deny, overage, groups, writes = '', 0, {}, {'!legs', state.live + 1}
if failed then
  would_deny = field(failed, REASON)
  taken = {}
  writes[3], writes[4] = '!shadow', state.shadow + 1
  redis.call('HINCRBY', groups_key, '~' .. would_deny, 1)
end
for i = 1, state.size do
  if taken[i] then
    local group, count = field(i, GROUP), state.n[i] + 1
    writes[#writes + 1], writes[#writes + 2] = group, count
    if field(i, KIND) == 'first' then groups[#groups + 1] = group end
    if count == 1 then
      local parent = tonumber(field(i, PARENT))
      if parent > 0 then
        -- The parent is kept with the group, because that is where it must be given back, whoever leaves last.
        writes[#writes + 1], writes[#writes + 2] = '>' .. group, field(parent, GROUP)
        writes[#writes + 1], writes[#writes + 2] = '<' .. field(parent, GROUP), group
      end
      if group == bind_group then writes[#writes + 1], writes[#writes + 2] = '@' .. group, binding end
    end
    local committed = tonumber(field(i, COMMITTED))
    if committed >= 0 and count > committed then overage = 1 end
    if state.register[i] then
      local register = read_register(state.register[i])
      if raise_register(register, count, now) then
        writes[#writes + 1], writes[#writes + 2] = '#' .. group, pack_register(register)
      end
    end
  end
end
redis.call('HSET', groups_key, unpack(writes))
redis.call('HSET', legs_key, connection,
  cmsgpack.pack({now, connected and now or 0, lease_ms, node, fingerprint, groups, overage, would_deny, info}))
redis.call('ZADD', leases_key, now + lease_ms, connection)
redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*',
  'op', 'admit', 'at', now, 'customer', customer, 'connection', connection,
  'state', connected and 'connected' or 'provisional', 'overage', overage, 'would_deny', would_deny, 'info', info)
if failed then return {'SHADOW', now, failed, state.n[failed], ''} end
return append_counts({'ADMIT', now, overage}, state, taken)
