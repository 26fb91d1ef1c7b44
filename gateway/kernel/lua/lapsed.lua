#!lua flags=allow-oom
-- lapsed: which customers of a bucket have lapsed legs; and whether they may be reclaimed. One gateway at a time gets an answer that it can use.
--
-- KEYS[1] meta
-- KEYS[2...] the leases of customers of the bucket
-- ARGV[1] server, ARGV[2] epoch: as of every script (include/epoch.lua)
-- ARGV[3] period_ms        somebody who swept less than that ago is left to it
-- ARGV[4] silence_ms       a predecessor longer ago than that means that leases could not be renewed either
-- ARGV[5] lease_ms         how long nothing is reclaimed then
-- ARGV[6] few              up to so many legs are always reclaimed
--
-- Answers
--   LAPSED now place...      places of KEYS, from 0, with something to reclaim       BUSY now       GRACE now until
--   HELD now until lapsed legs    it would be more than half of the bucket: it waits one more lease, and somebody should look
--   EPOCH now epoch

-- @include clock

local meta_key, now = KEYS[1], clock()
-- @include epoch
local period_ms, silence_ms, lease_ms, few = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local guard = redis.call('HMGET', meta_key, 'swept', 'grace', 'held', 'round')
local swept, grace, held, round = tonumber(guard[1] or 0), tonumber(guard[2] or 0), tonumber(guard[3]), tonumber(guard[4] or 0)
-- Neither is ever set further ahead; after a clock that was, and came back, they are not waited for.
if grace > now + lease_ms or (held or 0) > now + lease_ms then
  grace, held = math.min(grace, now + lease_ms), held and math.min(held, now + lease_ms)
  redis.call('HSET', meta_key, 'grace', grace, 'held', held or 0)
end
if now >= round and now - round < period_ms then return {'BUSY', now} end
redis.call('HSET', meta_key, 'swept', now)
-- Whoever reclaims for one customer (period 0) does not put off the round of all.
if period_ms > 0 then redis.call('HSET', meta_key, 'round', now) end
if now < swept or now - swept > silence_ms then
  grace = math.max(grace, now + lease_ms)
  redis.call('HSET', meta_key, 'grace', grace)
end
if now < grace then return {'GRACE', now, grace} end
local answer, lapsed, legs = {'LAPSED', now}, 0, 0
for i = 2, #KEYS do
  local over = redis.call('ZCOUNT', KEYS[i], '-inf', now)
  legs = legs + math.max(redis.call('ZCARD', KEYS[i]) - 1, 0)
  if over > 0 then
    lapsed = lapsed + over
    answer[#answer + 1] = i - 2
  end
end
if lapsed > few and lapsed * 2 > legs then
  if not held then
    held = now + lease_ms
    redis.call('HSET', meta_key, 'held', held)
  end
  if now < held then return {'HELD', now, held, lapsed, legs} end
elseif held then
  redis.call('HDEL', meta_key, 'held')
end
return answer
