#!lua flags=no-writes
-- dump: everything that verify compares, read at one moment; refused above a number of legs, because it holds up the store.
--
-- KEYS[1] outbox
-- KEYS[2] groups
-- KEYS[3] legs
-- KEYS[4] leases
-- KEYS[5] tombstones
-- KEYS[6] past
-- ARGV[1] server, ARGV[2] epoch: as of every script; not looked at
-- ARGV[3] legs_max         0: only the groups
--
-- Answers: DUMP mark groups legs leases tombstones past, each a flat list of pairs; TOO_MANY mark legs.
-- `mark` is the last number of the outbox: as long as it stands still, nothing in the bucket has changed.

local info = redis.call('XINFO', 'STREAM', KEYS[1])
local mark = ''
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then mark = info[i + 1] end
end
local legs_max = tonumber(ARGV[3])
local groups = redis.call('HGETALL', KEYS[2])
if legs_max == 0 then return {'DUMP', mark, groups, {}, {}, {}, {}} end
local size = redis.call('HLEN', KEYS[3])
if size > legs_max or redis.call('HLEN', KEYS[6]) > 20 * legs_max then return {'TOO_MANY', mark, size} end
return {
  'DUMP', mark, groups, redis.call('HGETALL', KEYS[3]),
  redis.call('ZRANGE', KEYS[4], 0, -1, 'WITHSCORES'), redis.call('ZRANGE', KEYS[5], 0, -1, 'WITHSCORES'),
  redis.call('HGETALL', KEYS[6]),
}
