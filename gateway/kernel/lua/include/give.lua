-- Giving back: what is left of the groups of a leg, into `counts` (nothing is written), and into `emptied` those that came to 0, in order. A
-- group that empties is taken from its parent. Code to stand in a script; needs groups_key and leg.
local counts, emptied, parents = {}, {}, {}
for _, first in ipairs(leg[GROUPS]) do
  local group = first
  while group do
    local count, parent = counts[group], parents[group]
    if not count then
      local values = redis.call('HMGET', groups_key, group, '>' .. group)
      count, parent = tonumber(values[1]), values[2]
      parents[group] = parent
    end
    counts[group] = count - 1
    if count > 1 then
      group = nil
    else
      emptied[#emptied + 1] = group
      group = parent
    end
  end
end
