-- The only clock of the kernel: milliseconds of the store's TIME, read once per script (TIME is not frozen inside a script before Redis 7.2).
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
