#!lua flags=no-writes
-- snapshot: the use of a customer at one moment.
--
-- KEYS[1] groups
-- KEYS[2] leases
-- ARGV[1] server, ARGV[2] epoch: as of every script; not looked at
-- ARGV[3] groups           how many groups are asked for
-- ARGV[4...]               their names, then the reasons whose tallies are asked for
--
-- Answers
--   SNAPSHOT now version day legs shadow joined audio (count register)... (denied would_deny)...       ROLL now version day (the open day is over)
-- A group never counted and never metered answers 0 and an empty register.

-- @include clock

local size = tonumber(ARGV[3])
local fields = {'!version', '!day', '!until', '!joined', '!audio', '!shadow'}
for i = 4, 3 + size do
  fields[#fields + 1], fields[#fields + 2] = ARGV[i], '#' .. ARGV[i]
end
for i = 4 + size, #ARGV do
  fields[#fields + 1], fields[#fields + 2] = '-' .. ARGV[i], '~' .. ARGV[i]
end
local now, values = clock(), redis.call('HMGET', KEYS[1], unpack(fields))
if values[3] and now >= tonumber(values[3]) then return {'ROLL', now, values[1], values[2]} end
-- The sentinel is no leg.
local live = math.max(redis.call('ZCARD', KEYS[2]) - 1, 0)
local answer = {'SNAPSHOT', now, values[1] or '0', values[2] or '0', live, tonumber(values[6] or 0),
  tonumber(values[4] or 0), tonumber(values[5] or 0)}
for i = 7, 6 + 2 * size, 2 do
  answer[#answer + 1], answer[#answer + 2] = tonumber(values[i] or 0), values[i + 1] or ''
end
for i = 7 + 2 * size, #fields do
  answer[#answer + 1] = tonumber(values[i] or 0)
end
return answer
