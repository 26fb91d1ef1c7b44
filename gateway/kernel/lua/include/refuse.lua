-- What becomes of a join whose check has failed: it is denied, with its tally and its entry in the outbox; or shadow mode lets it in, and only
-- `would_deny` is set. After decide.lua, where `failed` is set; also needs epoch, info and what the entry tells.
-- @include denied
if version == '0' then return denied end
if ARGV[7] ~= '1' then
  redis.call('HINCRBY', groups_key, '-' .. reason, 1)
  redis.call('XADD', outbox_key, 'MAXLEN', '~', outbox_max, epoch .. '-*',
    'op', 'deny', 'at', now, 'customer', customer, 'connection', connection, 'reason', reason, 'info', info)
  return denied
end
would_deny = reason
redis.call('HINCRBY', groups_key, '~' .. would_deny, 1)
