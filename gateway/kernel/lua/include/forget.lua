-- Everything that is kept with a group that has emptied goes, or is remembered. Code to stand in a script after give.lua, with final `counts`;
-- `quiet`: it is not noted where one that attended has gone. Appends to `writes` and `deletes`.
--   =set\31member   a mark: `made connected` (connected 0: pending, given back now)       +set   how many marks it has
--   @group          an age: `first since summed peak peak_at joined text` (ms; since 0: not live)
if #emptied > 0 then
  -- @include spell
  for _, group in ipairs(emptied) do
    if counts[group] == 0 then
      local bound = redis.call('HMGET', groups_key, '>' .. group, '*' .. group, '&' .. group, '?' .. group)
      for _, prefix in ipairs({'', '>', '<', '@', '*', '&', '?', '^', '%'}) do
        deletes[#deletes + 1] = prefix .. group
      end
      if bound[1] and redis.call('HGET', groups_key, '<' .. bound[1]) == group then deletes[#deletes + 1] = '<' .. bound[1] end
      if bound[2] then
        for name in string.gmatch(bound[2], '[^\30]+') do
          local record = redis.call('HGET', past_key, name)
          if record and string.sub(name, 1, 1) == '@' then
            local first, since, summed, rest = string.match(record, '^(%d+) (%d+) (%d+) (.*)$')
            redis.call('HSET', past_key, name, table.concat({first, 0, summed + math.max(now - since, 0), rest}, ' '))
          elseif record and string.sub(record, -2) == ' 0' then
            redis.call('HDEL', past_key, name)
            redis.call('HINCRBY', past_key, '+' .. string.match(name, '^=(.-)\31'), -1)
          end
        end
      end
      if bound[3] and not quiet and tonumber(counts[bound[3]] or redis.call('HGET', groups_key, bound[3]) or 0) > 0 then
        writes[#writes + 1], writes[#writes + 2] = '?' .. bound[3], now
      end
      if bound[4] and bound[4] ~= '' then close_spell(group, bound[4]) end
    end
  end
end
