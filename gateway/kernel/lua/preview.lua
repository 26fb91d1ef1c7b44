#!lua flags=no-writes
-- preview: what admit would answer now; writes nothing, and so also runs when memory or replicas are short.
--
-- KEYS[1] groups
-- KEYS[2] legs
-- ARGV[1...] as of admit; the lease, node, info and outbox are not looked at
--
-- Answers: as of admit, without LATE.

-- @include clock
-- @include legs
local CHECKS_AT = 16
-- @include checks

local groups_key, legs_key = KEYS[1], KEYS[2]
local connection, fingerprint, version, day = ARGV[2], ARGV[3], ARGV[5], ARGV[6]
local shadow, bind_group, binding, bound = ARGV[7] == '1', ARGV[8], ARGV[9], ARGV[10] == '1'

local now = clock()
local leg, ended = find_leg(legs_key, connection, now)
if ended then return {'RELEASED', now} end
if leg then
  if leg[FINGERPRINT] ~= fingerprint then return {'CONFLICT', now} end
  return replay(groups_key, leg, now)
end

local state = read_state(groups_key, bind_group)
local stale = staleness(state, now, version, day, binding, bound)
if stale then return stale end

local taken = reach(state)
local failed = first_failure(state, taken)
if failed and shadow then return {'SHADOW', now, failed, state.n[failed], ''} end
if failed then return denial(groups_key, state, failed, now) end
local overage = 0
for i = 1, state.size do
  local committed = tonumber(field(i, COMMITTED))
  if taken[i] and committed >= 0 and state.n[i] + 1 > committed then overage = 1 end
end
return append_counts({'ADMIT', now, overage}, state, taken)
