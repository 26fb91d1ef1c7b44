-- Evaluation of claims. ARGV from CHECKS_AT on holds six values per check, in the order of reasons:
--   kind (`first`: a group where a chain begins, `parent`: a group counted when a child goes live, `require`, `deny`),
--   group, ceiling (-1: none), committed (-1: none), parent (position of the parent's check from 1; 0: none), reason
local KIND, GROUP, CEILING, COMMITTED, PARENT, REASON, CHECK_SIZE = 0, 1, 2, 3, 4, 5, 6

local function field(position, name)
  return ARGV[CHECKS_AT + (position - 1) * CHECK_SIZE + name]
end

-- Version, day and every count in one read. Returns a table: version, from, until_, day, live, shadow, bound, n[], register[], size.
local function read_state(groups_key, bind_group)
  local size = (#ARGV - CHECKS_AT + 1) / CHECK_SIZE
  local fields = {'!version', '!day', '!from', '!until', '!legs', '!shadow', '@' .. bind_group}
  for i = 1, size do
    fields[7 + i] = field(i, GROUP)
  end
  local metered = {}
  for i = 1, size do
    if field(i, COMMITTED) ~= '-1' then
      metered[#metered + 1] = i
      fields[7 + size + #metered] = '#' .. field(i, GROUP)
    end
  end
  local values = redis.call('HMGET', groups_key, unpack(fields))
  local state = {
    version = values[1] or '0', day = values[2], from = tonumber(values[3]), until_ = tonumber(values[4]),
    live = tonumber(values[5] or 0), shadow = tonumber(values[6] or 0), bound = values[7], size = size, n = {}, register = {},
  }
  for i = 1, size do
    state.n[i] = tonumber(values[7 + i] or 0)
  end
  for k, i in ipairs(metered) do
    state.register[i] = values[7 + size + k]
  end
  return state
end

-- Which groups the leg would take: the first of each chain, then parents of groups that go live with it.
local function reach(state)
  local taken = {}
  for i = 1, state.size do
    if field(i, KIND) == 'first' then
      local at = i
      taken[at] = true
      while state.n[at] == 0 and field(at, PARENT) ~= '0' do
        at = tonumber(field(at, PARENT))
        taken[at] = true
      end
    end
  end
  return taken
end

-- Position of the first check that fails, or nil.
local function first_failure(state, taken)
  for i = 1, state.size do
    local kind = field(i, KIND)
    if kind == 'deny' then
      return i
    elseif kind == 'require' then
      if state.n[i] == 0 then return i end
    elseif taken[i] then
      local ceiling = tonumber(field(i, CEILING))
      if ceiling >= 0 and state.n[i] + 1 > ceiling then return i end
    end
  end
end

-- Whether the claims were compiled for what holds now; otherwise the answer that says what does. `late` comes before.
local function staleness(state, now, version, day, binding, bound)
  if state.version == '0' then
    if version ~= '0' then return {'STALE', now, 0} end
    return nil
  end
  if now >= state.until_ then return {'ROLL', now, state.version, state.day} end
  if state.version ~= version or state.day ~= day then return {'STALE', now, state.version, state.day} end
  if state.bound and state.bound ~= binding then return {'BOUND', now, state.bound} end
  if bound and not state.bound then return {'BOUND', now} end   -- it has emptied since
end

local function denial(groups_key, state, at, now)
  local child = false
  if field(at, KIND) == 'parent' then child = redis.call('HGET', groups_key, '<' .. field(at, GROUP)) end
  return {'DENY', now, at, state.n[at], child or ''}
end

-- Counts of the join's groups with this leg in them, in the order of the checks.
local function append_counts(answer, state, taken)
  for i = 1, state.size do
    answer[#answer + 1] = state.n[i] + (taken[i] and 1 or 0)
  end
  return answer
end

-- The answer to an id that is known with the same fingerprint: the first decision, with the figures of now.
local function replay(groups_key, leg, now)
  local answer = {'REPLAY', now, leg[ADMITTED], leg[CONNECTED], leg[LEASE], leg[OVERAGE], leg[WOULD_DENY], leg[INFO]}
  if #leg[GROUPS] > 0 then
    local counts = redis.call('HMGET', groups_key, unpack(leg[GROUPS]))
    for i, group in ipairs(leg[GROUPS]) do
      answer[#answer + 1] = group
      answer[#answer + 1] = tonumber(counts[i] or 0)
    end
  end
  return answer
end
