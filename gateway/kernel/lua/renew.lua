#!lua flags=allow-oom
-- renew: legs that a node lists live for one more lease; never shorter than they would.
--
-- KEYS[1] meta
-- KEYS[2] legs
-- KEYS[3] leases
-- ARGV[1] server, ARGV[2] epoch: as of every script (include/epoch.lua)
-- ARGV[3] lease_ms
-- ARGV[4...] connections
--
-- Answers: RENEWED now renewed (place of an unknown one...) (place of one that an operator ended...)      EPOCH now epoch
-- Places are of the connections, from 0. One that was released just now is neither: its release and the list have crossed.

-- @include clock

local meta_key, legs_key, leases_key, now = KEYS[1], KEYS[2], KEYS[3], clock()
-- @include epoch
local LISTED_AT = 4
local scores = redis.call('ZMSCORE', leases_key, unpack(ARGV, LISTED_AT))
local renewed, missing, unknown, drop = {'XX', 'GT'}, {}, {}, {}
local lease_end = now + tonumber(ARGV[3])
for i, score in ipairs(scores) do
  if score then
    renewed[#renewed + 1], renewed[#renewed + 2] = lease_end, ARGV[LISTED_AT - 1 + i]
  else
    missing[#missing + 1] = i
  end
end
if #renewed > 2 then redis.call('ZADD', leases_key, unpack(renewed)) end
for _, i in ipairs(missing) do
  local tombstone = redis.call('HGET', legs_key, ARGV[LISTED_AT - 1 + i])
  local expires, cause = string.match(tombstone or '', '^%-(%d+):(.*)$')
  if not expires or tonumber(expires) <= now then
    unknown[#unknown + 1] = i - 1
  elseif cause == 'operator' then
    drop[#drop + 1] = i - 1
  end
end
return {'RENEWED', now, (#renewed - 2) / 2, unknown, drop}
