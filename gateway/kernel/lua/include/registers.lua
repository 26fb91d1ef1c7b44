-- Registers: per metered group the greatest count of the running day, and the greatest count above the commitment of its moment.
-- Stored with the groups, in the field `#group`: `committed peak peak_at overage overage_at`. Both maxima only grow within a day, so that
-- replaying or asserting them again is harmless.
local function read_register(value)
  local committed, peak, peak_at, overage, overage_at = string.match(value, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
  return {tonumber(committed), tonumber(peak), tonumber(peak_at), tonumber(overage), tonumber(overage_at)}
end

-- Notes that `count` was reached at `now`; true if that moved a maximum.
local function raise_register(register, count, now)
  local moved = false
  if count > register[2] then
    register[2], register[3], moved = count, now, true
  end
  local over = count - register[1]
  if over > register[4] then
    register[4], register[5], moved = over, now, true
  end
  return moved
end

-- The register of a day that begins at `now` with `count` already there (T4.3: a leg that spans midnight counts at 00:00).
local function new_register(committed, count, now)
  return {committed, count, now, math.max(count - committed, 0), now}
end

local function pack_register(register)
  return table.concat(register, ' ')
end
