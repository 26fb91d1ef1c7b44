-- Taking claims: appends to `writes` what the leg changes, to `groups` its first groups; sets `overage`. Code to stand in a script after
-- decide.lua; also needs connected and, in a move, `again` (groups that the leg held just before) and `deletes`.
local binds, takes_bound
for k = 1, size do
  local i = at + 6 * k - 3
  local kind, group = ARGV[i], ARGV[i + 1]
  if taken[k] then
    local count = n[k] + 1
    writes[#writes + 1], writes[#writes + 2] = group, count
    if kind ~= 'parent' then groups[#groups + 1] = group end
    if count == 1 then
      local p = tonumber(ARGV[i + 4])
      if p > 0 then
        local parent = ARGV[at + 6 * p - 2]
        if kind == 'attend' then
          writes[#writes + 1], writes[#writes + 2] = '%' .. parent, 1
          if ARGV[i + 5] == 'watched' then writes[#writes + 1], writes[#writes + 2] = '&' .. group, parent end
          local since = redis.call('HGET', groups_key, '?' .. parent)
          if since and since ~= '' then
            -- Somebody attends again: the time without is over.
            -- @include spell
            close_spell(parent, since)
            writes[#writes + 1], writes[#writes + 2] = '?' .. parent, ''
          end
        else
          -- The parent is kept with the group, because that is where it must be given back, whoever leaves last.
          writes[#writes + 1], writes[#writes + 2] = '>' .. group, parent
          writes[#writes + 1], writes[#writes + 2] = '<' .. parent, group
        end
      elseif before[k] > 0 then
        -- The leg that moves was alone in it, and has just given back its parent, which it does not need any more.
        deletes[#deletes + 1] = '>' .. group
      end
    end
    if group == bind_group then takes_bound = true end
    if ARGV[i + 3] ~= '-1' then
      local committed = tonumber(ARGV[i + 3])
      if count > committed then overage = 1 end
      if register[k] then
        local ordered, peak, peak_at, over, over_at = string.match(register[k], '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
        local above, moved = count - ordered, false
        if count > tonumber(peak) then peak, peak_at, moved = count, now, true end
        if above > tonumber(over) then over, over_at, moved = above, now, true end
        if moved then
          writes[#writes + 1], writes[#writes + 2] =
            '#' .. group, table.concat({ordered, peak, peak_at, over, over_at}, ' ')
        end
      end
    end
  elseif kind == 'mark' then
    -- Final with the first connected leg; until then the group gives it back when it empties.
    local parent = ARGV[at + 6 * tonumber(ARGV[i + 4]) - 2]
    if not kept[k] and set_size[k] < MARKS_MAX then
      redis.call('HSET', past_key, '=' .. group, now .. ' ' .. (connected and now or 0))
      redis.call('HINCRBY', past_key, '+' .. string.match(group, '^(.-)\31'), 1)
      if not connected then
        binds = binds or {}
        binds[parent] = (binds[parent] and binds[parent] .. '\30' or '') .. '=' .. group
      end
    elseif connected and kept[k] and string.sub(kept[k], -2) == ' 0' then
      redis.call('HSET', past_key, '=' .. group, string.match(kept[k], '^%d+') .. ' ' .. now)
    end
  elseif kind == 'age' then
    local p = tonumber(ARGV[i + 4])
    local name, text = string.match(group, '^(.-)\31(.*)$')
    local first, since, summed, peak, peak_at, joined = now, 0, 0, 0, now, 0
    if kept[k] then
      first, since, summed, peak, peak_at, joined = string.match(kept[k], '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) ')
    end
    if before[p] == 0 then
      since, binds = now, binds or {}
      binds[name] = (binds[name] and binds[name] .. '\30' or '') .. '@' .. name
    end
    if n[p] + 1 > tonumber(peak) then peak, peak_at = n[p] + 1, now end
    if again ~= true and not (again and again[name]) then joined = joined + 1 end
    redis.call('HSET', past_key, '@' .. name, table.concat({first, since, summed, peak, peak_at, joined, text}, ' '))
  end
end
-- Facts are bound by a leg that takes their group; changed also by one beside it (a moderator who streams), as long as it is live.
if ARGV[at] ~= head[8] and (takes_bound or (head[8] and not (held and held[bind_group] == 0))) then
  local bound = ARGV[at]
  if string.sub(bound, -4) == '\31now' then bound = string.sub(bound, 1, -4) .. now end
  writes[#writes + 1], writes[#writes + 2] = '@' .. bind_group, bound
end
if binds then
  for group, names in pairs(binds) do
    local bound = redis.call('HGET', groups_key, '*' .. group)
    writes[#writes + 1], writes[#writes + 2] = '*' .. group, bound and bound .. '\30' .. names or names
  end
end
