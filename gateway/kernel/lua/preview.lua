#!lua flags=no-writes
-- preview: what admit would answer now; writes nothing, and so also runs when memory or replicas are short.
--
-- KEYS[1] groups
-- KEYS[2] legs
-- KEYS[3] past
-- KEYS[4] meta
-- KEYS[5] leases
-- ARGV[1...] as of admit; the lease, node and outbox are not looked at
--
-- Answers: as of admit, without LATE and LAPSED; ids are empty.

-- @include clock
-- @include legs
local ALTERNATIVES_AT = 20

local groups_key, legs_key, past_key, meta_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local connection, fingerprint, version, day = ARGV[4], ARGV[5], ARGV[7], ARGV[8]
local bind_group, facts, person = ARGV[10], ARGV[11], ARGV[12]
local lapses_key, leg, held, freed, leases_key = KEYS[5]

local id, now = '', clock()
-- @include epoch
-- @include replay
if leg then return {'CONFLICT', now} end
if meta[3] and now < tonumber(meta[3]) then return {'RECOVERING', now} end
if ARGV[19] == '2' then return {'FULL', now} end
-- @include decide

if failed then
  -- @include denied
  if ARGV[9] == '1' and version ~= '0' then return {'SHADOW', now, id, alternative, failed, n[failed]} end
  return denied
end
local answer = {'ADMIT', now, id, alternative, 0}
for k = 1, size do
  local committed = ARGV[at + 6 * k]
  answer[5 + k] = taken[k] and n[k] + 1 or n[k]
  if taken[k] and committed ~= '-1' and n[k] + 1 > tonumber(committed) then answer[5] = 1 end
end
return answer
