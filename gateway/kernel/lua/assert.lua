#!lua flags=allow-oom
-- assert: registers as a gateway was told them; the greater of both stands. Nothing that was acknowledged is forgotten when the store was.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- KEYS[3] groups
-- KEYS[4] days
-- ARGV[1] server, ARGV[2] epoch: as of every script (include/epoch.lua)
-- ARGV[3] customer
-- ARGV[4] outbox_max
-- ARGV[5...] registers     (day group committed peak peak_at overage overage_at)...
--
-- Answers: ASSERTED now id raised (how many)      ROLL now version day      EPOCH now epoch

-- @include clock
-- @include registers

local meta_key, outbox_key, groups_key, days_key, customer = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[3]

local now = clock()
-- @include epoch
local head = redis.call('HMGET', groups_key, '!version', '!day', '!until')
if not head[1] then return {'ASSERTED', now, '', 0} end
if now >= tonumber(head[3]) then return {'ROLL', now, head[1], head[2]} end
local open, raised, id = tonumber(head[2]), 0, ''
for i = 5, #ARGV, 7 do
  local day, group = tonumber(ARGV[i]), ARGV[i + 1]
  local told = {tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5]), tonumber(ARGV[i + 6])}
  local key, field = groups_key, '#' .. group
  if day < open then key, field = days_key, day .. ' ' .. group end
  local stored = redis.call('HGET', key, field)
  local register, moved = stored and read_register(stored) or told, not stored
  if told[2] > register[2] then register[2], register[3], moved = told[2], told[3], true end
  if told[4] > register[4] then register[4], register[5], moved = told[4], told[5], true end
  if moved and day <= open then
    redis.call('HSET', key, field, pack_register(register))
    raised = raised + 1
  end
end
if raised > 0 then
  id = redis.call('XADD', outbox_key, 'MAXLEN', '~', ARGV[4], epoch .. '-*', 'op', 'assert', 'at', now, 'customer', customer, 'raised', raised)
end
return {'ASSERTED', now, id, raised}
