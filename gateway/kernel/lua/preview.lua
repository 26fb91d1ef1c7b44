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

local groups_key, legs_key, past_key = KEYS[1], KEYS[2], KEYS[3]
local connection, fingerprint, version, day = ARGV[2], ARGV[3], ARGV[5], ARGV[6]
local bind_group, facts, person = ARGV[8], ARGV[9], ARGV[10]
local leg, held, freed, leases_key

local now = clock()
-- @include replay
if leg then return {'CONFLICT', now} end
-- @include decide

if failed then
  -- @include denied
  if ARGV[7] == '1' and version ~= '0' then return {'SHADOW', now, alternative, failed, n[failed]} end
  return denied
end
local answer = {'ADMIT', now, alternative, 0}
for k = 1, size do
  local committed = ARGV[at + 6 * k]
  answer[4 + k] = taken[k] and n[k] + 1 or n[k]
  if taken[k] and committed ~= '-1' and n[k] + 1 > tonumber(committed) then answer[4] = 1 end
end
return answer
