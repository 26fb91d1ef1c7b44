#!lua flags=allow-oom
-- epoch: a gateway meets a bucket of a store that is not what it knows, and says what it was told last. Begins a new epoch where the server is
-- another one; finds out whether something that was acknowledged is missing.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- ARGV[1] server           run_id of the server that the gateway talks to
-- ARGV[2] epoch            that of the last entry of the outbox that the gateway was told of; 0: none
-- ARGV[3] number           its number
-- ARGV[4] lease_ms         nothing is reclaimed for so long; and the bucket recovers for so long where something is missing
-- ARGV[5] outbox_max
--
-- Answers: BEGUN now epoch recovering lost missing     (recovering: until when, or 0; missing: 1 where the store lacks what this gateway was told;
--                                                      lost: 1 where that is recent, so that nodes are bringing it back)
-- Leases are never shortened by a change of servers. What was told longer ago than the epoch is old is not missed: nodes have brought it back.

-- @include clock

local meta_key, outbox_key, now = KEYS[1], KEYS[2], clock()
local server, told_epoch, told_number = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local lease_ms, outbox_max = tonumber(ARGV[4]), ARGV[5]
local meta = redis.call('HMGET', meta_key, 'epoch', 'server', 'prior_epoch', 'prior_number', 'recovering')
local epoch, recovering = tonumber(meta[1] or 0), tonumber(meta[5] or 0)

local last_epoch, last_number = 0, 0
if redis.call('EXISTS', outbox_key) == 1 then
  local info = redis.call('XINFO', 'STREAM', outbox_key)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      last_epoch, last_number = string.match(info[i + 1], '^(%d+)-(%d+)$')
      last_epoch, last_number = tonumber(last_epoch), tonumber(last_number)
    end
  end
end
local function reached(at, number)
  return told_epoch == 0 or (told_epoch == at and told_number <= number)
end

local began = epoch > 0 and meta[2] == server
local missing = not reached(epoch, last_epoch == epoch and last_number or 0)
  and not reached(tonumber(meta[3] or 0), tonumber(meta[4] or 0))
local lost = missing and not (epoch > 0 and told_epoch < epoch and now - epoch >= 2 * lease_ms)
-- The last entry of the epoch before that this store has: what came after it there, if anything did, it has lost.
local prior = meta[3] and meta[3] ~= '0' and meta[3] .. '-' .. meta[4] or ''
if not began then
  prior = epoch > 0 and last_epoch == epoch and epoch .. '-' .. last_number or ''
  redis.call('HSET', meta_key, 'prior_epoch', epoch, 'prior_number', last_epoch == epoch and last_number or 0)
  epoch = math.max(now, epoch + 1, told_epoch + 1, last_epoch + 1)
  redis.call('HSET', meta_key, 'epoch', epoch, 'server', server, 'grace', now + lease_ms)
  redis.call('HDEL', meta_key, 'held')
end
if lost then
  -- Not longer for those who come later: nodes bring everything back within one lease of the beginning.
  recovering = math.max(recovering, math.min(now, epoch) + lease_ms)
  redis.call('HSET', meta_key, 'recovering', recovering)
end
if lost or not began then
  redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*',
    'op', 'epoch', 'at', now, 'server', server, 'told', told_epoch .. '-' .. told_number, 'lost', lost and 1 or 0,
    'prior', prior)
end
return {'BEGUN', now, tostring(epoch), recovering, lost and 1 or 0, missing and 1 or 0}
