#!lua
-- install: replaces a customer's entitlements, if they are still of the version that the caller has seen.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- KEYS[3] customers
-- KEYS[4] groups
-- KEYS[5] legs
-- KEYS[6] leases
-- KEYS[7] tombstones
-- KEYS[8] days
-- KEYS[9] entitlements
-- KEYS[10] past
-- ARGV[1] server, ARGV[2] epoch: as of every script (include/epoch.lua)
-- ARGV[3] customer
-- ARGV[4] expected         version that is replaced; 0: none yet; empty: any that is older than the new one
-- ARGV[5] version          the new one
-- ARGV[6] document         kept, not looked into
-- ARGV[7] day              ordinal of the day for which the commitments hold
-- ARGV[8] from             its first millisecond
-- ARGV[9] until            the first of the next
-- ARGV[10] change          what is done, for the outbox: install, suspend, restore, ...
-- ARGV[11] by               who did it
-- ARGV[12] outbox_max
-- ARGV[13] kept             1: somebody reads the outbox, and its entry carries the document; 0: it does not, because documents may be large
-- ARGV[14...] meters       (group committed)...
--
-- Answers
--   INSTALLED now id            CONFLICT now version       ROLL now version day       STALE now version day (compiled for another day)
--   EPOCH now epoch
-- A change of commitments is judged at once: registers of the day move if use is above the new one.

-- @include clock
-- @include registers

local meta_key, outbox_key, customers_key, groups_key, legs_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local leases_key, tombstones_key, days_key, entitlements_key, past_key = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local customer, expected, next_version, document, day, from, until_ = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local change, by, outbox_max, METERS_AT = ARGV[10], ARGV[11], ARGV[12], 14

local now = clock()
-- @include epoch
local head = redis.call('HMGET', groups_key, '!version', '!day', '!from', '!until')
local version = head[1] or '0'
if (expected ~= '' and version ~= expected) or tonumber(version) >= tonumber(next_version) then return {'CONFLICT', now, version} end
if version == '0' then
  if now < tonumber(from) or now >= tonumber(until_) then return {'STALE', now, version, day} end
else
  if now >= tonumber(head[4]) then return {'ROLL', now, version, head[2]} end
  if head[2] ~= day then return {'STALE', now, version, head[2]} end
  if now < tonumber(head[3]) then now = tonumber(head[3]) end
end

local writes = {'!version', next_version, '!day', day, '!from', from, '!until', until_}
for i = METERS_AT, #ARGV, 2 do
  local group, committed = ARGV[i], tonumber(ARGV[i + 1])
  local values = redis.call('HMGET', groups_key, group, '#' .. group)
  local count = tonumber(values[1] or 0)
  local register
  if values[2] then
    register = read_register(values[2])
    register[1] = committed
    raise_register(register, count, now)
  else
    register = new_register(committed, count, now)
  end
  writes[#writes + 1], writes[#writes + 2] = '#' .. group, pack_register(register)
end
if version == '0' then
  -- Each key always exists: a missing declared key cannot be told from one that is on its way to another shard.
  redis.call('HSET', legs_key, '', '')
  redis.call('ZADD', leases_key, 'inf', '')
  redis.call('ZADD', tombstones_key, 'inf', '')
  redis.call('HSET', days_key, '', '')
  redis.call('HSET', past_key, '', '')
end
redis.call('HSET', groups_key, unpack(writes))
redis.call('SET', entitlements_key, document)
redis.call('HSET', customers_key, customer, next_version)
local entry = {'op', change, 'at', now, 'customer', customer, 'version', next_version, 'by', by}
if ARGV[13] == '1' then entry[11], entry[12] = 'document', document end
local id = redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*', unpack(entry))
return {'INSTALLED', now, id}
