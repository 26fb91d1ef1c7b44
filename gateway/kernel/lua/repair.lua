#!lua flags=allow-oom
-- repair: writes counts that verify found, if nothing in the bucket has changed since it looked.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- KEYS[3] groups
-- ARGV[1] server, ARGV[2] epoch: as of every script (include/epoch.lua)
-- ARGV[3] customer
-- ARGV[4] mark             last number of the outbox when verify looked
-- ARGV[5] outbox_max
-- ARGV[6...] counts        (field count)...; 0 removes the field
--
-- Answers: REPAIRED now id | CHANGED now | EPOCH now epoch

-- @include clock

local meta_key, now = KEYS[1], clock()
-- @include epoch
local info = redis.call('XINFO', 'STREAM', KEYS[2])
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' and info[i + 1] ~= ARGV[4] then return {'CHANGED', now} end
end
for i = 6, #ARGV, 2 do
  if ARGV[i + 1] == '0' then
    redis.call('HDEL', KEYS[3], ARGV[i])
  else
    redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
  end
end
local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], epoch .. '-*',
  'op', 'repair', 'at', now, 'customer', ARGV[3], 'fields', (#ARGV - 5) / 2)
return {'REPAIRED', now, id}
