-- What is remembered after the legs have gone, in the hash `past`:
--   =set\31member   a mark: `made connected` (connected 0: pending, given back if its group empties)      +set   how many marks it has
--   @group          an age: `first since summed peak peak_at joined text` (ms; since 0: not live)
--   ~since group    a spell: until when (ms) the group was live without the one that should attend it
local MARKS_MAX, SPELLS_MAX = 100000, 1000

-- Notes in `binds` that something must happen to a field of `past` when a group empties.
local function bind_to_group(binds, group, name)
  binds[group] = binds[group] and binds[group] .. '\30' .. name or name
end

local function write_binds(groups_key, binds, writes)
  for group, names in pairs(binds) do
    local bound = redis.call('HGET', groups_key, '*' .. group)
    writes[#writes + 1], writes[#writes + 2] = '*' .. group, bound and bound .. '\30' .. names or names
  end
end

local function close_spell(past_key, group, since, now)
  if tonumber(redis.call('HGET', past_key, '+~') or 0) >= SPELLS_MAX then return end
  if redis.call('HSET', past_key, '~' .. since .. ' ' .. group, now) == 1 then redis.call('HINCRBY', past_key, '+~', 1) end
end

local function make_mark(past_key, i, state, connected, now, binds)
  local name, group, record = field(i, GROUP), field(tonumber(field(i, PARENT)), GROUP), state.member[i]
  if not record then
    if state.set_size[i] >= MARKS_MAX then return end
    redis.call('HSET', past_key, '=' .. name, now .. ' ' .. (connected and now or 0))
    redis.call('HINCRBY', past_key, '+' .. string.match(name, '^(.-)\31'), 1)
    if not connected then bind_to_group(binds, group, '=' .. name) end
  elseif connected and string.sub(record, -2) == ' 0' then
    redis.call('HSET', past_key, '=' .. name, string.match(record, '^%d+') .. ' ' .. now)
  end
end

local function grow_age(past_key, i, state, again, now, binds)
  local name, at = field(i, GROUP), tonumber(field(i, PARENT))
  local count = state.n[at] + 1
  local first, since, summed, peak, peak_at, joined = now, 0, 0, 0, now, 0
  if state.member[i] then
    first, since, summed, peak, peak_at, joined = string.match(state.member[i], '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) ')
  end
  if state.before[at] == 0 then
    since = now
    bind_to_group(binds, name, '@' .. name)
  end
  if count > tonumber(peak) then peak, peak_at = count, now end
  if not again[name] then joined = joined + 1 end
  redis.call('HSET', past_key, '@' .. name,
    table.concat({first, since, summed, peak, peak_at, joined, field(i, COMMITTED)}, ' '))
end

-- Ends what was bound to a group that has emptied.
local function let_go(past_key, bound, now)
  for name in string.gmatch(bound, '[^\30]+') do
    local record = redis.call('HGET', past_key, name)
    if record and string.sub(name, 1, 1) == '@' then
      local first, since, summed, rest = string.match(record, '^(%d+) (%d+) (%d+) (.*)$')
      redis.call('HSET', past_key, name,
        table.concat({first, 0, summed + math.max(now - since, 0), rest}, ' '))
    elseif record and string.sub(record, -2) == ' 0' then
      redis.call('HDEL', past_key, name)
      redis.call('HINCRBY', past_key, '+' .. string.match(name, '^=(.-)\31'), -1)
    end
  end
end
