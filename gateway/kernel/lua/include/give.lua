-- Giving back: what a leg took is taken from the counts, and a group that empties is taken from its parent.

-- Into `counts` what is left of each group (nothing is written), into `emptied` those that came to 0, in order.
local function give(groups_key, groups, counts, emptied)
  local parents = {}
  for _, first in ipairs(groups) do
    local group = first
    while group do
      if not counts[group] then
        local values = redis.call('HMGET', groups_key, group, '>' .. group)
        counts[group], parents[group] = tonumber(values[1]), values[2]
      end
      counts[group] = counts[group] - 1
      if counts[group] > 0 then
        group = nil
      else
        emptied[#emptied + 1] = group
        group = parents[group]
      end
    end
  end
end

-- Everything that is kept with a group that has emptied goes, or is remembered. `counts` are final here.
local function forget(groups_key, past_key, group, counts, now, writes, deletes)
  local kept = redis.call('HMGET', groups_key, '>' .. group, '*' .. group, '&' .. group, '?' .. group)
  for _, prefix in ipairs({'', '>', '<', '@', '*', '&', '?', '^'}) do
    deletes[#deletes + 1] = prefix .. group
  end
  if kept[1] and redis.call('HGET', groups_key, '<' .. kept[1]) == group then deletes[#deletes + 1] = '<' .. kept[1] end
  if kept[2] then let_go(past_key, kept[2], now) end
  if kept[3] and tonumber(counts[kept[3]] or redis.call('HGET', groups_key, kept[3]) or 0) > 0 then
    writes[#writes + 1], writes[#writes + 2] = '?' .. kept[3], now
  end
  if kept[4] and kept[4] ~= '' then close_spell(past_key, group, kept[4], now) end
end
