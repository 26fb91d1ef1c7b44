#!lua flags=allow-oom
-- sweep: reclaims legs of a customer: those that lapsed, or those of a node that says it has left. A reclaim leaves no tombstone: a leg that is
-- alive after all is adopted again.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- KEYS[3] groups
-- KEYS[4] legs
-- KEYS[5] leases
-- KEYS[6] past
-- ARGV[1] server, ARGV[2] epoch: as of every script (include/epoch.lua)
-- ARGV[3] customer
-- ARGV[4] node             whose legs end; empty: those that lapsed
-- ARGV[5] legs_max
-- ARGV[6] silence_ms       as of lapsed.lua
-- ARGV[7] outbox_max
-- ARGV[8...] connections   of the node
--
-- Answers: SWEPT now id reclaimed      ROLL now version day      EPOCH now epoch
-- Nothing lapses within the grace of the bucket, or while lapsed.lua holds it.

-- @include clock
-- @include legs
local SPELLS_MAX = 1000

local meta_key, outbox_key, groups_key, legs_key, leases_key, past_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local customer, node, outbox_max = ARGV[3], ARGV[4], ARGV[7]
local op, id, reclaimed = 'reclaim', '', 0

local now = clock()
-- @include epoch
local head = redis.call('HMGET', groups_key, '!version', '!day', '!from', '!until')
if not head[1] then return {'SWEPT', now, '', 0} end
if now >= tonumber(head[4]) then return {'ROLL', now, head[1], head[2]} end
local until_now, connections = now, {}
if now < tonumber(head[3]) then now = tonumber(head[3]) end
if node ~= '' then
  for i = 8, #ARGV do
    connections[#connections + 1] = ARGV[i]
  end
else
  local guard = redis.call('HMGET', meta_key, 'swept', 'grace', 'held')
  local swept, grace, held = tonumber(guard[1] or 0), tonumber(guard[2] or 0), tonumber(guard[3] or 0)
  if until_now >= swept and until_now - swept <= tonumber(ARGV[6]) and until_now >= grace and until_now >= held then
    connections = redis.call('ZRANGEBYSCORE', leases_key, '-inf', until_now, 'LIMIT', 0, ARGV[5])
  end
end
for _, connection in ipairs(connections) do
  local packed = redis.call('HGET', legs_key, connection)
  local leg = packed and not string.find(packed, '^%-%d+:') and cmsgpack.unpack(packed)
  if leg and (node == '' or leg[NODE] == node) then
    local cause, alive = 'departed', now
    if node == '' then
      cause = 'lapsed'
      alive = math.max(math.min(tonumber(redis.call('ZSCORE', leases_key, connection)) - leg[LEASE], now), leg[ADMITTED])
    end
    -- @include end
    redis.call('HDEL', legs_key, connection)
    reclaimed = reclaimed + 1
  elseif node == '' then
    redis.call('ZREM', leases_key, connection)   -- a lease of nothing would stand in the way of all behind it
  end
end
return {'SWEPT', now, id, reclaimed}
