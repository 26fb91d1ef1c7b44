-- Remembers the time in which a group was live without the one that should attend it, as `~since group` -> until (ms), at most SPELLS_MAX.
local function close_spell(group, since)
  if tonumber(redis.call('HGET', past_key, '+~') or 0) >= SPELLS_MAX then return end
  if redis.call('HSET', past_key, '~' .. since .. ' ' .. group, now) == 1 then redis.call('HINCRBY', past_key, '+~', 1) end
end
