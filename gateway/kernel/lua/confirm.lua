#!lua flags=allow-oom
-- confirm: a leg is connected. One that is not known is adopted: counted without a check, because it is there.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- KEYS[3] groups
-- KEYS[4] legs
-- KEYS[5] leases
-- KEYS[6] past
-- ARGV[1...19] as of admit; `connected` 0: the leg is only known to have been let in without a check, and is provisional
-- ARGV[20] node_lease_ms   lease of a leg that a node keeps alive
-- ARGV[21] joins           1: it was let in without a check, and joins now; 0: it joined before, wherever that was counted
-- ARGV[22...] alternatives see include/decide.lua
--
-- Answers
--   CONFIRMED now id admitted connected lease       ADOPTED now id lease would_deny      DEAD now cause (released, or ended by an operator)
--   CONFLICT now | STALE now version [day] | ROLL now version day | BOUND now [facts] | EPOCH now epoch
--   NOBODY now           the customer is not known
-- A leg that was connected already lives one more lease, and belongs to the node that was given last.

-- @include clock
-- @include legs
local ALTERNATIVES_AT, MARKS_MAX, SPELLS_MAX = 22, 100000, 1000

local meta_key, outbox_key, groups_key, legs_key, leases_key, past_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local customer, connection, fingerprint = ARGV[3], ARGV[4], ARGV[5]
local version, day, bind_group, facts, person = ARGV[7], ARGV[8], ARGV[10], ARGV[11], ARGV[12]
local lease_ms, connected, node, outbox_max = tonumber(ARGV[14]), ARGV[15] == '1', ARGV[16], ARGV[17]
local held, freed, deletes, id = nil, nil, {}, ''

local now = clock()
-- @include epoch
local value = redis.call('HGET', legs_key, connection)
local expires, cause = string.match(value or '', '^%-(%d+):(.*)$')
if expires and tonumber(expires) > now then return {'DEAD', now, cause} end
if value and not expires then
  local leg = cmsgpack.unpack(value)
  if leg[FINGERPRINT] ~= fingerprint then return {'CONFLICT', now} end
  if node == '' and leg[NODE] ~= '' then node, lease_ms = leg[NODE], tonumber(ARGV[20]) end
  local begins = connected and leg[CONNECTED] == 0
  if begins or (connected and (leg[ATTEMPT] ~= 0 or node ~= leg[NODE] or lease_ms ~= leg[LEASE])) then
    if begins then leg[CONNECTED] = math.max(now, leg[ADMITTED]) end
    leg[NODE], leg[LEASE], leg[ATTEMPT] = node, lease_ms, 0
    value = cmsgpack.pack(leg)
    redis.call('HSET', legs_key, connection, value)
  end
  if begins then
    -- Marks of its groups, and of those that these count in, are final with the first connected leg.
    for _, first in ipairs(leg[GROUPS]) do
      local group = first
      while group do
        local bound = redis.call('HMGET', groups_key, '*' .. group, '>' .. group)
        for name in string.gmatch(bound[1] or '', '[^\30]+') do
          local record = string.sub(name, 1, 1) == '=' and redis.call('HGET', past_key, name)
          if record and string.sub(record, -2) == ' 0' then
            redis.call('HSET', past_key, name, string.match(record, '^%d+') .. ' ' .. now)
          end
        end
        group = bound[2]
      end
    end
    id = redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*',
      'op', 'confirm', 'at', now, 'customer', customer, 'connection', connection, 'leg', value)
  end
  -- What the journal brings late must not shorten what was said since.
  if ARGV[21] == '1' then
    redis.call('ZADD', leases_key, 'XX', 'GT', now + lease_ms, connection)
  else
    redis.call('ZADD', leases_key, 'XX', now + lease_ms, connection)
  end
  return {'CONFIRMED', now, id, leg[ADMITTED], leg[CONNECTED], lease_ms}
end
if version == '0' then return {'NOBODY', now} end
local again = ARGV[21] ~= '1'
-- @include decide

local info = ARGV[at + 1]
local would_deny, overage, groups, writes = '', 0, {}, {}
if failed and ARGV[9] == '1' then
  -- @include denied
  would_deny = reason
  writes[1], writes[2] = '!shadow', (head[5] or 0) + 1
else
  -- @include take
  if person ~= '' and head[7] then
    groups[#groups + 1] = person
    writes[#writes + 1], writes[#writes + 2] = person, (head[9] or 0) + 1
  end
end
if not again then writes[#writes + 1], writes[#writes + 2] = '!joined', (head[6] or 0) + 1 end
local packed = cmsgpack.pack({now, connected and now or 0, lease_ms, node, fingerprint, groups, overage, would_deny, info, 1, 0})
if #writes > 0 then redis.call('HSET', groups_key, unpack(writes)) end
redis.call('HSET', legs_key, connection, packed)
redis.call('ZADD', leases_key, now + lease_ms, connection)
id = redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*',
  'op', 'adopt', 'at', now, 'customer', customer, 'connection', connection, 'leg', packed)
return {'ADOPTED', now, id, lease_ms, would_deny}
