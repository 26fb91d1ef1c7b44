-- Evaluation of claims. ARGV from ALTERNATIVES_AT on: how many alternatives; then for each of them the facts that it binds, the info that is kept
-- with the leg, how many checks, and six values per check, in the order of reasons:
--   kind, group, ceiling (-1: none), committed (-1: none), parent (position of another check from 1; 0: none), reason
-- Kinds
--   first       a group where a chain begins: counted for every leg     parent      a group counted when a child goes live
--   attend      a group that is counted, without which its `parent` should not be live; `absent`: the same, for a leg that is not in it
--   mark        a member of a set that is remembered (`set\31member`); `parent`: the group whose first connected leg makes it final
--   age         how long its `parent` has been live against `ceiling` ms; `committed`: a text kept with it
--   before      denied from the instant `ceiling` on                     deny        denied
local KIND, GROUP, CEILING, COMMITTED, PARENT, REASON, CHECK_SIZE = 0, 1, 2, 3, 4, 5, 6
local ALTERNATIVE_HEAD = 3
local checks_at = ALTERNATIVES_AT + 1 + ALTERNATIVE_HEAD   -- of the alternative that is looked at
local HEAD_FIELDS = 9

local function field(position, name)
  return ARGV[checks_at + (position - 1) * CHECK_SIZE + name]
end

-- Version, day and every count in one read.
local function read_state(groups_key, past_key, bind_group, person)
  local size = tonumber(ARGV[checks_at - 1])
  local fields = {'!version', '!day', '!from', '!until', '!shadow', '!joined', '!audio', '@' .. bind_group, person}
  local metered, remembered = {}, {}
  for i = 1, size do
    local kind = field(i, KIND)
    fields[HEAD_FIELDS + i] = field(i, GROUP)
    if kind == 'mark' or kind == 'age' then
      remembered[#remembered + 1] = i
    elseif field(i, COMMITTED) ~= '-1' then
      metered[#metered + 1] = i
    end
  end
  for k, i in ipairs(metered) do
    fields[HEAD_FIELDS + size + k] = '#' .. field(i, GROUP)
  end
  local values = redis.call('HMGET', groups_key, unpack(fields))
  local state = {
    version = values[1] or '0', day = values[2], from = tonumber(values[3]), until_ = tonumber(values[4]),
    shadow = tonumber(values[5] or 0), joined = tonumber(values[6] or 0), audio = tonumber(values[7] or nil), bound = values[8],
    person = tonumber(values[9] or 0), size = size, n = {}, register = {}, member = {}, set_size = {},
  }
  for i = 1, size do
    state.n[i] = tonumber(values[HEAD_FIELDS + i] or 0)
  end
  for k, i in ipairs(metered) do
    state.register[i] = values[HEAD_FIELDS + size + k]
  end
  for _, i in ipairs(remembered) do
    local name, sign = field(i, GROUP), field(i, KIND) == 'age' and '@' or '='
    local kept = redis.call('HMGET', past_key, sign .. name, '+' .. (string.match(name, '^(.-)\31') or ''))
    state.member[i], state.set_size[i] = kept[1], tonumber(kept[2] or 0)
  end
  state.before = state.n
  return state
end

-- Which groups the leg would take: the first of each chain, then parents of groups that go live with it.
local function reach(state)
  local taken = {}
  for i = 1, state.size do
    local kind = field(i, KIND)
    if kind == 'first' then
      local at = i
      taken[at] = true
      while state.n[at] == 0 and field(at, PARENT) ~= '0' do
        at = tonumber(field(at, PARENT))
        taken[at] = true
      end
    elseif kind == 'attend' then
      taken[i] = true
    end
  end
  return taken
end

-- How long a group has been live (ms), by what is remembered of it; see remember.lua.
local function live_ms(record, now)
  if not record then return 0 end
  local since, summed = string.match(record, '^%d+ (%d+) (%d+) ')
  since, summed = tonumber(since), tonumber(summed)
  return since > 0 and summed + math.max(now - since, 0) or summed
end

-- Position of the first check that fails, or nil. A group that grows no further than it was before is never refused.
local function first_failure(state, taken, now)
  for i = 1, state.size do
    local kind, ceiling = field(i, KIND), tonumber(field(i, CEILING))
    if taken[i] then
      local count = state.n[i] + 1
      if ceiling >= 0 and count > ceiling and count > state.before[i] then return i end
    elseif kind == 'deny' then
      return i
    elseif kind == 'mark' then
      if ceiling >= 0 and not state.member[i] and state.set_size[i] + 1 > ceiling then return i end
    elseif kind == 'age' then
      if ceiling >= 0 and live_ms(state.member[i], now) >= ceiling then return i end
    elseif kind == 'before' then
      if now >= ceiling then return i end
    end
  end
end

-- Whether the claims were compiled for what holds now; otherwise the answer that says what does.
local function staleness(state, now, version, day, facts)
  if state.version == '0' then
    if version ~= '0' then return {'STALE', now, 0} end
    return nil
  end
  if now >= state.until_ then return {'ROLL', now, state.version, state.day} end
  if state.version ~= version or state.day ~= day then return {'STALE', now, state.version, state.day} end
  if not state.bound then
    if facts ~= '' then return {'BOUND', now} end   -- it has emptied since
  elseif facts ~= state.bound and (facts ~= '' or ARGV[ALTERNATIVES_AT + 1] ~= state.bound) then
    -- Claims for a meeting that is not live also hold for one that is live with the very facts that they would bind.
    return {'BOUND', now, state.bound}
  end
end

-- The first alternative that can be taken, else the last that was tried. Another is tried only where one fails at what a meeting that goes
-- live needs. Returns its number, state, what it takes, and the check that failed. `adjust` changes the counts that are looked at.
local function choose(state, reread, adjust, now)
  local alternative, alternatives = 1, tonumber(ARGV[ALTERNATIVES_AT])
  if adjust then adjust(state) end
  local taken = reach(state)
  local failed = first_failure(state, taken, now)
  while failed and alternative < alternatives and (field(failed, KIND) == 'parent' or field(failed, KIND) == 'mark') do
    alternative, checks_at = alternative + 1, checks_at + state.size * CHECK_SIZE + ALTERNATIVE_HEAD
    state = reread()
    if adjust then adjust(state) end
    taken = reach(state)
    failed = first_failure(state, taken, now)
  end
  return alternative, state, taken, failed
end

local function denial(groups_key, state, alternative, at, now)
  local child = false
  if field(at, KIND) == 'parent' then child = redis.call('HGET', groups_key, '<' .. field(at, GROUP)) end
  local use = field(at, KIND) == 'mark' and state.set_size[at] or state.n[at]
  return {'DENY', now, alternative, at, use, child or ''}
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
