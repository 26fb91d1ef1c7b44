#!lua flags=no-writes
-- entitlements: what is installed for a customer, with the day that its registers stand at.
--
-- KEYS[1] groups
-- KEYS[2] entitlements
--
-- Answers: ENTITLEMENTS now version day document; for a customer never installed version 0, day 0 and an empty document.

-- @include clock

local head = redis.call('HMGET', KEYS[1], '!version', '!day')
return {'ENTITLEMENTS', clock(), head[1] or '0', head[2] or '0', redis.call('GET', KEYS[2]) or ''}
