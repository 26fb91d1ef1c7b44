#!lua flags=no-writes
-- preview: what admit would answer now; writes nothing, and so also runs when memory or replicas are short.
--
-- KEYS[1] groups
-- KEYS[2] legs
-- KEYS[3] past
-- ARGV[1...] as of admit; the lease, node and outbox are not looked at
--
-- Answers: as of admit, without LATE.

-- @include clock
-- @include legs
local ALTERNATIVES_AT = 16
-- @include checks

local groups_key, legs_key, past_key = KEYS[1], KEYS[2], KEYS[3]
local connection, fingerprint, version, day = ARGV[2], ARGV[3], ARGV[5], ARGV[6]
local shadow, bind_group, facts = ARGV[7] == '1', ARGV[8], ARGV[9]

local now = clock()
local leg, ended = find_leg(legs_key, connection, now)
if ended then return {'RELEASED', now} end
if leg then
  if leg[FINGERPRINT] ~= fingerprint then return {'CONFLICT', now} end
  return replay(groups_key, leg, now)
end

local function reread()
  return read_state(groups_key, past_key, bind_group, ARGV[10])
end
local state = reread()
local stale = staleness(state, now, version, day, facts)
if stale then return stale end

local alternative, taken, failed
alternative, state, taken, failed = choose(state, reread, nil, now)
if failed and shadow then return {'SHADOW', now, alternative, failed, state.n[failed]} end
if failed then return denial(groups_key, state, alternative, failed, now) end
local overage = 0
for i = 1, state.size do
  local committed = taken[i] and tonumber(field(i, COMMITTED)) or -1
  if committed >= 0 and state.n[i] + 1 > committed then overage = 1 end
end
return append_counts({'ADMIT', now, alternative, overage}, state, taken)
