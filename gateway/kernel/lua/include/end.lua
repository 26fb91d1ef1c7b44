-- The end of a leg: gives back what it took, drops its lease and writes the entry of the outbox; leaves its `id`. Code to stand in a script; needs
-- leg, packed, connection, op, cause, alive (its last sign of life), and the keys.
-- @include give
local writes, deletes, quiet = {}, {}, false
if leg[WOULD_DENY] ~= '' then redis.call('HINCRBY', groups_key, '!shadow', -1) end
for group, count in pairs(counts) do
  if count > 0 then writes[#writes + 1], writes[#writes + 2] = group, count end
end
-- @include forget
if #writes > 0 then redis.call('HSET', groups_key, unpack(writes)) end
if #deletes > 0 then redis.call('HDEL', groups_key, unpack(deletes)) end
redis.call('ZREM', leases_key, connection)
id = redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*',
  'op', op, 'at', now, 'customer', customer, 'connection', connection, 'cause', cause, 'alive', alive, 'leg', packed)
