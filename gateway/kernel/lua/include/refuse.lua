-- What becomes of a join whose check has failed: it is denied, with its tally and (unless only tallied) its entry in the outbox; or shadow mode lets it in, and only
-- `would_deny` is set. Where a lapsed leg may stand in a full limit, it is answered first that there is one. After decide.lua, where `failed` is
-- set; also needs epoch, info, lapses_key and what the entry tells.
local id = ''
-- @include denied
if version == '0' then return denied end
local refused = ARGV[at + 6 * failed - 3]
if ARGV[18] ~= '1' and refused ~= 'require' and refused ~= 'deny' and redis.call('ZCOUNT', lapses_key, '-inf', now) > 0 then
  return {'LAPSED', now}
end
if ARGV[9] ~= '1' then
  redis.call('HINCRBY', groups_key, '-' .. reason, 1)
  if ARGV[19] == '0' then
    denied[3] = redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*',
      'op', 'deny', 'at', now, 'customer', customer, 'connection', connection, 'reason', reason, 'info', info)
  end
  return denied
end
would_deny = reason
redis.call('HINCRBY', groups_key, '~' .. would_deny, 1)
