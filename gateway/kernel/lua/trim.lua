#!lua flags=allow-oom
-- trim: cuts off the entries of an outbox that its ledger has stored, and names how many. Only one ledger may; another one learns of it.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- ARGV[1] server, ARGV[2] epoch: as of every script; not looked at: what was read in any epoch may go
-- ARGV[3] ledger           id of who asks; the first that asks is the one
-- ARGV[4] through          epoch of the last entry that may go, ARGV[5] its number
-- ARGV[6] keep             so many entries stay in any case
-- ARGV[7] take_over        1: this ledger is the one from now on
--
-- Answers
--   TRIMMED now trimmed left ledger      OTHER now left ledger (the one that it belongs to; nothing was done)

-- @include clock

local meta_key, outbox_key, ledger, now = KEYS[1], KEYS[2], ARGV[3], clock()
local through_epoch, through_number, keep = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local owner, length = redis.call('HGET', meta_key, 'ledger'), redis.call('XLEN', outbox_key)
if owner and owner ~= ledger and ARGV[7] ~= '1' then return {'OTHER', now, length, owner} end
if owner ~= ledger then redis.call('HSET', meta_key, 'ledger', ledger) end
if length <= keep then return {'TRIMMED', now, 0, length, ledger} end

-- How many follow. Numbers have no gaps within an epoch; over the bound of one, they are counted, as far as it matters.
local behind, ahead, info = 0, false, redis.call('XINFO', 'STREAM', outbox_key)
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then
    local epoch, number = string.match(info[i + 1], '^(%d+)-(%d+)$')
    epoch, number = tonumber(epoch), tonumber(number)
    if epoch < through_epoch or (epoch == through_epoch and number < through_number) then
      ahead = true
    elseif epoch == through_epoch then
      behind = number - through_number
    elseif keep > 0 then
      behind = #redis.call('XRANGE', outbox_key, '(' .. ARGV[4] .. '-' .. ARGV[5], '+', 'COUNT', keep)
    end
  end
end
-- A ledger that knows of more than is here has not read from this store: what is in it may be news.
if ahead then return {'TRIMMED', now, 0, length, ledger} end
local trimmed
if behind >= keep then
  trimmed = redis.call('XTRIM', outbox_key, 'MINID', '=', string.format('%d-%d', through_epoch, through_number + 1))
else
  trimmed = redis.call('XTRIM', outbox_key, 'MAXLEN', '=', keep)
end
return {'TRIMMED', now, trimmed, length - trimmed, ledger}
