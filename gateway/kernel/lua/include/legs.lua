-- Leg records and tombstones, both values of the hash `legs` under the connection id.
--
-- A leg is a MessagePack array with these places; a tombstone is the text `-<expires_ms>:<cause>`, which no such array begins like.
local ADMITTED, CONNECTED, LEASE, NODE, FINGERPRINT, GROUPS, OVERAGE, WOULD_DENY, INFO = 1, 2, 3, 4, 5, 6, 7, 8, 9

local function tombstone_expiry(value)
  return tonumber(string.match(value, '^%-(%d+):'))
end

-- The leg under an id, or nil; second: whether a tombstone that is still in force stands there; third: the record as stored.
local function find_leg(legs_key, connection, now)
  local value = redis.call('HGET', legs_key, connection)
  if not value then return nil, false end
  local expires = tombstone_expiry(value)
  if expires then return nil, expires > now end
  return cmsgpack.unpack(value), false, value
end
