#!lua flags=allow-oom
-- present: a gateway says that it is there.
--
-- KEYS[1] gateways
-- ARGV[1] server, ARGV[2] epoch: as of every script; not looked at
-- ARGV[3] gateway
-- ARGV[4] lease_ms         how long it counts without saying so again
--
-- Answers: PRESENT now gateways

-- @include clock

local now = clock()
redis.call('ZADD', KEYS[1], now, ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[4]))
return {'PRESENT', now, redis.call('ZCARD', KEYS[1])}
