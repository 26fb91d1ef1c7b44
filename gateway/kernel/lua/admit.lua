#!lua
-- admit: decides a join and takes all of its claims, or none.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- KEYS[3] groups
-- KEYS[4] legs
-- KEYS[5] leases
-- KEYS[6] past
-- ARGV[1] server, ARGV[2] epoch: as of every script (include/epoch.lua)
-- ARGV[3] customer
-- ARGV[4] connection
-- ARGV[5] fingerprint
-- ARGV[6] attempt          the instant (ms) after which nothing may be taken, by the store's clock, and below it a number that makes it unique
-- ARGV[7] version          entitlements that the claims were compiled from; 0: customer unknown
-- ARGV[8] day              ordinal of the day that they were compiled for
-- ARGV[9] shadow           1: let in what the checks would deny, and take nothing for it
-- ARGV[10] bind_group       group that keeps the facts of the meeting
-- ARGV[11] facts            those of the live meeting that the claims were compiled for; empty: for one that is not live
-- ARGV[12] person_group    counts the legs of who joins; empty: nobody is named
-- ARGV[13] audio           the leg is audio-only: `no`, `alone` (as long as it is alone in person_group), `yes`
-- ARGV[14] lease_ms
-- ARGV[15] connected       1: connected at once; 0: provisional until confirmed
-- ARGV[16] node
-- ARGV[17] outbox_max      entries kept of the bucket's outbox
-- ARGV[18] final           1: lapsed legs were reclaimed just now; a full limit is a denial
-- ARGV[19] pressure         1: a denial is only tallied; 2: the outbox is full, and nothing new is decided; 0: neither
-- ARGV[20...] alternatives see include/decide.lua; the info of each is kept with the leg, not looked into
--
-- Answers
--   ADMIT now id alternative overage count...   REPLAY now admitted connected left overage would_deny info (group count)...
--   SHADOW now id alternative check use         DENY now id alternative check use child
--   CONFLICT now | RELEASED now | LATE now | STALE now version [day] | ROLL now version day | BOUND now [facts]
--   EPOCH now epoch      the store is not what the gateway knows
--   FULL now             the ledger is too far behind for anything new
--   RECOVERING now       it has lost something that nodes are bringing back: no limit can be judged
--   LAPSED now           a limit is full, and lapsed legs of the customer may stand in it: reclaim them, and ask again as `final`
-- Only ADMIT and SHADOW take anything; DENY of a known customer adds to its tally and, unless only tallied, to the outbox. `id`: of the entry in the outbox.

-- @include clock
-- @include legs
local ALTERNATIVES_AT, MARKS_MAX, SPELLS_MAX = 20, 100000, 1000

local meta_key, outbox_key, groups_key, legs_key, leases_key, past_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local customer, connection, fingerprint = ARGV[3], ARGV[4], ARGV[5]
local version, day, bind_group, facts, person, audio = ARGV[7], ARGV[8], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local lease_ms, connected, node, outbox_max = tonumber(ARGV[14]), ARGV[15] == '1', ARGV[16], ARGV[17]
local lapses_key, leg, held, freed, again, deletes = leases_key

local now = clock()
-- @include epoch
-- @include replay
if leg then return {'CONFLICT', now} end
if now > math.floor(tonumber(ARGV[6]) / 4096) then return {'LATE', now} end
if meta[3] and now < tonumber(meta[3]) then return {'RECOVERING', now} end
if ARGV[19] == '2' then return {'FULL', now} end
-- @include decide

local info = ARGV[at + 1]
local would_deny, overage, groups, writes = '', 0, {}, {'!joined', (head[6] or 0) + 1}
if failed then
  -- @include refuse
  writes[3], writes[4] = '!shadow', (head[5] or 0) + 1
else
  -- @include take
  -- Persons are counted only where it can matter: for customers that have had an audio-only leg (`!audio` is there).
  if audio ~= 'no' or (head[7] and person ~= '') then
    local tallied, persons = audio == 'yes' and 1 or 0, tonumber(head[9] or 0)
    if person ~= '' then
      groups[#groups + 1] = person
      writes[#writes + 1], writes[#writes + 2] = person, persons + 1
      if persons == 0 and audio == 'alone' then
        tallied = 1
        writes[#writes + 1], writes[#writes + 2] = '^' .. person, day
      elseif persons == 1 then
        local alone = redis.call('HGET', groups_key, '^' .. person)
        if alone == day then tallied = tallied - 1 end
        if alone then writes[#writes + 1], writes[#writes + 2] = '^' .. person, '' end
      end
    end
    writes[#writes + 1], writes[#writes + 2] = '!audio', math.max((head[7] or 0) + tallied, 0)
  end
end
local packed = cmsgpack.pack({now, connected and now or 0, lease_ms, node, fingerprint, groups, overage, would_deny, info, 0, tonumber(ARGV[6])})
redis.call('HSET', groups_key, unpack(writes))
redis.call('HSET', legs_key, connection, packed)
redis.call('ZADD', leases_key, now + lease_ms, connection)
local id = redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*',
  'op', 'admit', 'at', now, 'customer', customer, 'connection', connection, 'leg', packed)
if failed then return {'SHADOW', now, id, alternative, failed, n[failed]} end
local answer = {'ADMIT', now, id, alternative, overage}
for k = 1, size do
  answer[5 + k] = taken[k] and n[k] + 1 or n[k]
end
return answer
