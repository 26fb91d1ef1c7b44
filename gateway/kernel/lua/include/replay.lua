-- What is known of an id: answers a tombstone, another fingerprint, or the same with the first decision and the figures of now. Code to stand
-- in a script; needs legs_key, connection, fingerprint, groups_key, now; leaves `leg` in a move.
local value = redis.call('HGET', legs_key, connection)
if value then
  local expires = string.match(value, '^%-(%d+):')
  if expires then
    if tonumber(expires) > now then return {'RELEASED', now} end
  else
    leg = cmsgpack.unpack(value)
    if leg[FINGERPRINT] == fingerprint then
      if leases_key and (leg[CONNECTED] == 0 or leg[NODE] == '') and now <= math.floor(tonumber(ARGV[6]) / 4096) then
        -- A sign of life, where somebody still waits; and it is this attempt now whose answer is heard, or not (`unanswered` in release.lua).
        if leg[ATTEMPT] ~= 0 then
          leg[ATTEMPT] = tonumber(ARGV[6])
          redis.call('HSET', legs_key, connection, cmsgpack.pack(leg))
        end
        redis.call('ZADD', leases_key, 'XX', 'GT', math.max(now, leg[ADMITTED] + 1) + leg[LEASE], connection)
      end
      local left = math.max((tonumber(redis.call('ZSCORE', lapses_key, connection)) or now) - now, 0)
      local answer = {'REPLAY', now, leg[ADMITTED], leg[CONNECTED], left, leg[OVERAGE], leg[WOULD_DENY], leg[INFO]}
      if #leg[GROUPS] > 0 then
        local counts = redis.call('HMGET', groups_key, unpack(leg[GROUPS]))
        for i, group in ipairs(leg[GROUPS]) do
          answer[#answer + 1] = group
          answer[#answer + 1] = tonumber(counts[i] or 0)
        end
      end
      return answer
    end
  end
end
