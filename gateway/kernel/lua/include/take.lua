-- Taking claims: what is written when all checks have passed.
local function with_instant(facts, now)
  if string.sub(facts, -4) == '\31now' then return string.sub(facts, 1, -4) .. now end
  return facts
end

-- Someone attends again: where the group was live without, that spell is over.
local function attended(groups_key, past_key, group, now, writes)
  local since = redis.call('HGET', groups_key, '?' .. group)
  if since and since ~= '' then
    close_spell(past_key, group, since, now)
    writes[#writes + 1], writes[#writes + 2] = '?' .. group, ''
  end
end

-- Appends to `writes` what the leg changes; returns its first groups and whether one is above its commitment. `again`: groups that it held
-- just before (a move).
local function take(groups_key, past_key, state, taken, bind_group, connected, again, now, writes)
  local groups, overage, binds, facts = {}, 0, {}, ARGV[checks_at - ALTERNATIVE_HEAD]
  for i = 1, state.size do
    local kind, group = field(i, KIND), field(i, GROUP)
    if taken[i] then
      local count, parent = state.n[i] + 1, tonumber(field(i, PARENT))
      writes[#writes + 1], writes[#writes + 2] = group, count
      if kind ~= 'parent' then groups[#groups + 1] = group end
      if count == 1 and parent > 0 then
        if kind == 'attend' then
          writes[#writes + 1], writes[#writes + 2] = '&' .. group, field(parent, GROUP)
          if state.before[parent] > 0 then attended(groups_key, past_key, field(parent, GROUP), now, writes) end
        else
          -- The parent is kept with the group, because that is where it must be given back, whoever leaves last.
          writes[#writes + 1], writes[#writes + 2] = '>' .. group, field(parent, GROUP)
          writes[#writes + 1], writes[#writes + 2] = '<' .. field(parent, GROUP), group
        end
      end
      if group == bind_group and facts ~= state.bound then
        writes[#writes + 1], writes[#writes + 2] = '@' .. group, with_instant(facts, now)
      end
      local committed = tonumber(field(i, COMMITTED))
      if committed >= 0 and count > committed then overage = 1 end
      if state.register[i] then
        local register = read_register(state.register[i])
        if raise_register(register, count, now) then
          writes[#writes + 1], writes[#writes + 2] = '#' .. group, pack_register(register)
        end
      end
    elseif kind == 'mark' then
      make_mark(past_key, i, state, connected, now, binds)
    elseif kind == 'age' then
      grow_age(past_key, i, state, again, now, binds)
    elseif kind == 'absent' then
      local parent = tonumber(field(i, PARENT))
      if state.before[parent] == 0 and state.n[i] == 0 then
        writes[#writes + 1], writes[#writes + 2] = '?' .. field(parent, GROUP), now
      end
    end
  end
  write_binds(groups_key, binds, writes)
  return groups, overage
end
