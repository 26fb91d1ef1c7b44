#!lua flags=allow-oom
-- repair: writes counts that verify found, if nothing in the bucket has changed since it looked.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- KEYS[3] groups
-- ARGV[1] customer
-- ARGV[2] mark             last number of the outbox when verify looked
-- ARGV[3] outbox_max
-- ARGV[4...] counts        (field count)...; 0 removes the field
--
-- Answers: REPAIRED now | CHANGED now

-- @include clock

local now, info = clock(), redis.call('XINFO', 'STREAM', KEYS[2])
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' and info[i + 1] ~= ARGV[2] then return {'CHANGED', now} end
end
for i = 4, #ARGV, 2 do
  if ARGV[i + 1] == '0' then
    redis.call('HDEL', KEYS[3], ARGV[i])
  else
    redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
  end
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], redis.call('HGET', KEYS[1], 'epoch') .. '-*',
  'op', 'repair', 'at', now, 'customer', ARGV[1], 'fields', (#ARGV - 3) / 2)
return {'REPAIRED', now}
