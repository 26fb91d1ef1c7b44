#!lua flags=allow-oom
-- release: gives back what a leg took, and leaves a tombstone so that a late admit of the same id cannot take it again.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- KEYS[3] groups
-- KEYS[4] legs
-- KEYS[5] leases
-- KEYS[6] tombstones
-- KEYS[7] past
-- ARGV[1] server, ARGV[2] epoch: as of every script (include/epoch.lua)
-- ARGV[3] customer
-- ARGV[4] connection
-- ARGV[5] node             only if that node owns the leg; empty: whoever does
-- ARGV[6] cause            `released`, `operator` or `unanswered`
-- ARGV[7] tombstone_ms
-- ARGV[8] outbox_max
-- ARGV[9] attempt          of the admit that nobody heard the answer of; with cause `unanswered`
--
-- Answers
--   RELEASED now id admitted connected     UNKNOWN now        FOREIGN now (another node owns it)        ROLL now version day
--   EPOCH now epoch
-- UNKNOWN is a quiet success: a release that overtook its admit. It leaves a tombstone too, for customers that exist; not where an operator
-- wanted to end it, because that was no release on its way.
-- `unanswered`: nobody heard that the leg was admitted. It is given back only if that very attempt was the last that is known of, and without a
-- tombstone, because the caller may ask again with the same id.

-- @include clock
-- @include legs
local PURGE_MAX, SPELLS_MAX = 4, 1000   -- more than one, so that tombstones shrink even while each release adds one

local meta_key, outbox_key, groups_key, legs_key, leases_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local tombstones_key, past_key = KEYS[6], KEYS[7]
local customer, connection, node, cause, outbox_max = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[8]
local op, id = 'release', ''

local now = clock()
-- @include epoch
local packed, leg = redis.call('HGET', legs_key, connection), nil
if packed then
  local expires = string.match(packed, '^%-(%d+):')
  if not expires then
    leg = cmsgpack.unpack(packed)
  elseif tonumber(expires) > now then
    return {'UNKNOWN', now}
  end
end
if leg and node ~= '' and leg[NODE] ~= node then return {'FOREIGN', now} end
if cause == 'unanswered' and not (leg and leg[ATTEMPT] > 0 and leg[ATTEMPT] == tonumber(ARGV[9])) then return {'UNKNOWN', now} end
local head = redis.call('HMGET', groups_key, '!version', '!day', '!from', '!until')
if not head[1] then return {'UNKNOWN', now} end
if leg then
  -- A release may be the first thing that happens on a new day: the day must begin with the seat still taken.
  if now >= tonumber(head[4]) then return {'ROLL', now, head[1], head[2]} end
  if now < tonumber(head[3]) then now = tonumber(head[3]) end
  local alive = now
  -- @include end
end
if cause == 'unanswered' then
  redis.call('HDEL', legs_key, connection)
elseif leg or cause ~= 'operator' then
  local expires = now + tonumber(ARGV[7])
  redis.call('HSET', legs_key, connection, '-' .. expires .. ':' .. cause)
  redis.call('ZADD', tombstones_key, expires, connection)
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', tombstones_key, '-inf', '(' .. now, 'LIMIT', 0, PURGE_MAX)) do
    redis.call('ZREM', tombstones_key, old)
    local value = redis.call('HGET', legs_key, old)
    -- The id may have been admitted again since: then a leg stands there.
    if value and string.find(value, '^%-%d+:') then redis.call('HDEL', legs_key, old) end
  end
end
if not leg then return {'UNKNOWN', now} end
return {'RELEASED', now, id, leg[ADMITTED], leg[CONNECTED]}
