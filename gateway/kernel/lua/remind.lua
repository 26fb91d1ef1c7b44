#!lua flags=allow-oom
-- remind: marks and ages as a ledger remembers them. What the store has lost is there again; what it knows better stands.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- KEYS[3] groups
-- KEYS[4] past
-- ARGV[1] server, ARGV[2] epoch: as of every script (include/epoch.lua)
-- ARGV[3] customer
-- ARGV[4] outbox_max
-- ARGV[5] marks            how many
-- ARGV[6...] marks         (set\31member made connected)..., then ages: (group first since summed peak peak_at joined text)...
--
-- Answers: REMINDED now id raised (how many fields)      EPOCH now epoch
-- A field becomes the greatest of what is stored and what is told, so that neither order nor repetition matters:
--   a mark     is there if either has it, and connected if either says so; the earlier times stand. One that is told as pending is not put back:
--              the group that would give it back is not live, or has made it again.
--   an age     the earlier `first`, the greater `peak` (with its time) and `joined`; live time as the greater of both as of now. What is live is
--              only known here: an opening that the ledger believes to last counts only where the group is live. Under another licence it is
--              another age: the one that is live stands, or else the later one.

-- @include clock
local MARKS_MAX = 100000

local meta_key, outbox_key, groups_key, past_key, customer = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[3]

local now = clock()
-- @include epoch
if redis.call('HEXISTS', groups_key, '!version') == 0 then return {'REMINDED', now, '', 0} end
local raised, ages_at = 0, 6 + 3 * tonumber(ARGV[5])

for i = 6, ages_at - 1, 3 do
  local name, made, connected = '=' .. ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local set, stored = '+' .. string.match(ARGV[i], '^(.-)\31'), redis.call('HGET', past_key, name)
  if stored then
    local stored_made, stored_connected = string.match(stored, '^(%d+) (%d+)$')
    stored_made, stored_connected = tonumber(stored_made), tonumber(stored_connected)
    if connected == 0 or (stored_connected > 0 and stored_connected < connected) then connected = stored_connected end
    local value = math.min(made, stored_made) .. ' ' .. connected
    if value ~= stored then
      redis.call('HSET', past_key, name, value)
      raised = raised + 1
    end
  elseif connected > 0 and tonumber(redis.call('HGET', past_key, set) or 0) < MARKS_MAX then
    redis.call('HSET', past_key, name, made .. ' ' .. connected)
    redis.call('HINCRBY', past_key, set, 1)
    raised = raised + 1
  end
end

for i = ages_at, #ARGV, 8 do
  local name, text = '@' .. ARGV[i], ARGV[i + 7]
  local told = {}
  for k = 1, 6 do
    told[k] = tonumber(ARGV[i + k])
  end
  local stored, since = redis.call('HGET', past_key, name), 0
  if stored then
    local age, licence = {}, nil
    age[1], age[2], age[3], age[4], age[5], age[6], licence = string.match(stored, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (.*)$')
    for k = 1, 6 do
      age[k] = tonumber(age[k])
    end
    since = age[2]
    if licence == text then
      local lived = told[3]
      if since > 0 then
        -- The total of both as of now, kept as what was before this opening.
        if told[2] > 0 then lived = lived + math.max(now - told[2], 0) end
        lived = math.max(lived - math.max(now - since, 0), 0)
      end
      told[1], told[3] = math.min(told[1], age[1]), math.max(lived, age[3])
      if age[4] > told[4] or (age[4] == told[4] and age[5] < told[5]) then told[4], told[5] = age[4], age[5] end
      told[6] = math.max(told[6], age[6])
    elseif since > 0 or age[1] > told[1] or (age[1] == told[1] and licence > text) then
      told = nil
    end
  end
  if told then
    local value = table.concat({told[1], since, told[3], told[4], told[5], told[6], text}, ' ')
    if value ~= stored then
      redis.call('HSET', past_key, name, value)
      raised = raised + 1
    end
  end
end

local id = ''
if raised > 0 then
  id = redis.call('XADD', outbox_key, 'MAXLEN', '~', ARGV[4], epoch .. '-*', 'op', 'assert', 'at', now, 'customer', customer, 'raised', raised)
end
return {'REMINDED', now, id, raised}
