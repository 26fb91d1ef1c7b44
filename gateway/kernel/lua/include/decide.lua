-- Evaluates claims, alternative by alternative. Code to stand in a script, not functions: defining functions at each call costs more than the
-- evaluation itself.
--
-- ARGV from ALTERNATIVES_AT on: how many alternatives; then for each of them the facts that it binds, the info that is kept with the leg, how
-- many checks, and six values per check, in the order of reasons:
--   kind, group, ceiling (-1: none), committed (-1: none), parent (position of another check from 1; 0: none), reason
-- Kinds
--   first       a group where a chain begins: counted for every leg     parent      a group counted when a child goes live
--   attend      a group that is counted, without which its `parent` should not be live; reason `watched`: where it has emptied all the same,
--               that is remembered
--   require     `%group`: somebody has attended the group since it is live
--   mark        `set\31member`, a member of a set that is remembered; `parent`: the group whose first connected leg makes it final
--   age         `group\31text`: how long its `parent` has been live, against `ceiling` ms; the text is kept with it
--   before      denied from the instant `ceiling` on                     deny        denied
--               (age, before: not of a leg that moves and is in the `parent` already)
--
-- Needs groups_key, past_key, bind_group, person, version, day, facts, now, meta; `held`: counts without the leg, where it moves,
-- and `freed`: how many marks of a set it gives back; else nil.
-- Leaves alternative, at (where it begins), size, n[] (counts), before[] (with the leg that moves), taken[], failed (position or nil),
-- register[], kept[], set_size[], head (of the first read). Returns from the script where the claims were compiled for something else.
local alternative, at, size, n, before, taken, failed, register, kept, set_size, set_before, head = 1, ALTERNATIVES_AT + 1
while true do
  size = tonumber(ARGV[at + 2])
  local fields, metered, remembered = {
    '!version', '!day', '!from', '!until', '!shadow', '!joined', '!audio', '@' .. bind_group, person,
  }
  for k = 1, size do
    local i = at + 6 * k - 3
    fields[9 + k] = ARGV[i + 1]
    if ARGV[i + 3] ~= '-1' then
      metered = metered or {}
      metered[#metered + 1] = k
    end
    if ARGV[i] == 'mark' or ARGV[i] == 'age' then remembered = true end
  end
  if metered then
    for m, k in ipairs(metered) do
      fields[9 + size + m] = '#' .. ARGV[at + 6 * k - 2]
    end
  end
  local values = redis.call('HMGET', groups_key, unpack(fields))
  if alternative == 1 then
    head = values
    if not values[1] then
      if version ~= '0' then return {'STALE', now, 0} end
    else
      if now >= tonumber(values[4]) then return {'ROLL', now, values[1], values[2]} end
      if values[1] ~= version or values[2] ~= day then return {'STALE', now, values[1], values[2]} end
      if not values[8] then
        if facts ~= '' then return {'BOUND', now} end   -- it has emptied since
      elseif facts ~= values[8] and (facts ~= '' or ARGV[at] ~= values[8]) then
        -- Claims for a meeting that is not live also hold for one that is live with the very facts that they would bind.
        return {'BOUND', now, values[8]}
      end
      -- A failover to a slower clock must not bring back a day that was rolled.
      if now < tonumber(values[3]) then now = tonumber(values[3]) end
    end
  end

  n, register, taken, failed = {}, {}, {}, nil
  for k = 1, size do
    n[k] = tonumber(values[9 + k] or 0)
  end
  if metered then
    for m, k in ipairs(metered) do
      register[k] = values[9 + size + m]
    end
  end
  if remembered then
    kept, set_size, set_before = {}, {}, {}
    for k = 1, size do
      local i = at + 6 * k - 3
      if ARGV[i] == 'mark' then
        local set = '+' .. string.match(ARGV[i + 1], '^(.-)\31')
        local found = redis.call('HMGET', past_key, '=' .. ARGV[i + 1], set)
        kept[k], set_size[k] = found[1], tonumber(found[2] or 0)
        set_before[k] = set_size[k]
        if freed then set_size[k] = set_size[k] - (freed[set] or 0) end
      elseif ARGV[i] == 'age' then
        local name, text = string.match(ARGV[i + 1], '^(.-)\31(.*)$')
        local found = redis.call('HGET', past_key, '@' .. name)
        -- Opened again under another licence it is another one, and begins anew.
        if found and string.sub(found, -#text - 1) ~= ' ' .. text and string.find(found, '^%d+ 0 ') then found = false end
        kept[k] = found
      end
    end
  end
  before = n
  if held then
    n = {}
    for k = 1, size do
      n[k] = held[ARGV[at + 6 * k - 2]] or before[k]
    end
  end

  -- Which groups the leg would take: the first of each chain, then parents of groups that go live with it.
  for k = 1, size do
    local kind = ARGV[at + 6 * k - 3]
    if kind == 'first' then
      local reached = k
      taken[k] = true
      while n[reached] == 0 do
        reached = tonumber(ARGV[at + 6 * reached + 1])
        if reached == 0 then break end
        taken[reached] = true
      end
    elseif kind == 'attend' then
      taken[k] = true
    end
  end

  -- The first check that fails. A group that grows no further than it was before refuses nothing.
  for k = 1, size do
    local i = at + 6 * k - 3
    local kind, ceiling = ARGV[i], ARGV[i + 2]
    if taken[k] then
      if ceiling ~= '-1' then
        local count = n[k] + 1
        if count > tonumber(ceiling) and count > before[k] then failed = k end
      end
    elseif kind == 'require' then
      -- Not while nodes are bringing back what was lost: the host may be among it.
      if n[k] == 0 and not (meta[3] and now < tonumber(meta[3])) then failed = k end
    elseif kind == 'deny' then
      failed = k
    elseif kind == 'mark' and ceiling ~= '-1' and not kept[k] then
      local count = set_size[k] + 1
      if count > tonumber(ceiling) and count > set_before[k] then failed = k end
      -- What has its mark under a later alternative gets no second one here.
      local ahead, ahead_at = alternative, at
      while not failed and ahead < tonumber(ARGV[ALTERNATIVES_AT]) do
        ahead, ahead_at = ahead + 1, ahead_at + 3 + 6 * tonumber(ARGV[ahead_at + 2])
        for j = ahead_at + 3, ahead_at + 2 + 6 * tonumber(ARGV[ahead_at + 2]), 6 do
          if ARGV[j] == 'mark' and ARGV[j + 2] ~= '-1' and redis.call('HEXISTS', past_key, '=' .. ARGV[j + 1]) == 1 then failed = k end
        end
      end
    elseif kind == 'age' then
      local parent = tonumber(ARGV[i + 4])
      if ceiling ~= '-1' and kept[k] and n[parent] == before[parent] then
        local since, summed = string.match(kept[k], '^%d+ (%d+) (%d+) ')
        if tonumber(since) > 0 then summed = summed + math.max(now - since, 0) end
        if tonumber(summed) >= tonumber(ceiling) then failed = k end
      end
    elseif kind == 'before' then
      local parent = tonumber(ARGV[i + 4])
      if now >= tonumber(ceiling) and n[parent] == before[parent] then failed = k end
    end
    if failed then break end
  end

  -- Another alternative is tried only where one fails at what a meeting that goes live needs.
  if not failed or alternative >= tonumber(ARGV[ALTERNATIVES_AT]) then break end
  local kind = ARGV[at + 6 * failed - 3]
  if kind ~= 'parent' and kind ~= 'mark' then break end
  alternative, at = alternative + 1, at + 3 + 6 * size
end
