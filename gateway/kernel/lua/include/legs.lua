-- Leg records and tombstones, both values of the hash `legs` under the connection id.
--
-- A leg is a MessagePack array with these places; a tombstone is the text `-<expires_ms>:<cause>`, which no such array begins like.
local ADMITTED, CONNECTED, LEASE, NODE, FINGERPRINT, GROUPS, OVERAGE, WOULD_DENY, INFO, ADOPTED, ATTEMPT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
