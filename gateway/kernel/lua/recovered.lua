#!lua flags=allow-oom
-- recovered: nodes have brought back what the bucket had lost; limits can be judged again.
--
-- KEYS[1] meta
-- KEYS[2] outbox
-- ARGV[1] server, ARGV[2] epoch: as of every script (include/epoch.lua)
-- ARGV[3] outbox_max
-- ARGV[4] meant            the epoch whose loss has been made good; another one has a loss of its own
--
-- Answers: RECOVERED now id      EPOCH now epoch

-- @include clock

local meta_key, now = KEYS[1], clock()
-- @include epoch
local id = ''
if ARGV[4] == epoch and redis.call('HDEL', meta_key, 'recovering') == 1 then
  id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], epoch .. '-*', 'op', 'recovered', 'at', now)
end
return {'RECOVERED', now, id}
