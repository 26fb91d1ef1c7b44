#!lua
-- rename: gives members of remembered sets other names, so that a person can be forgotten and the sets keep their sizes.
--
-- KEYS[1] past
-- ARGV[1] server, ARGV[2] epoch: as of every script; not looked at: a mark that is not there is not renamed
-- ARGV[3...] marks         (field new_field)...: `=set\31member` of one set; where the new one is there already, they become one
--
-- Answers: RENAMED now renamed

-- @include clock

local past_key, renamed = KEYS[1], 0
for i = 3, #ARGV, 2 do
  local mark = redis.call('HGET', past_key, ARGV[i])
  if mark and ARGV[i] ~= ARGV[i + 1] then
    redis.call('HDEL', past_key, ARGV[i])
    if redis.call('HSETNX', past_key, ARGV[i + 1], mark) == 0 then
      redis.call('HINCRBY', past_key, '+' .. string.match(ARGV[i], '^=(.-)\31'), -1)
    end
    renamed = renamed + 1
  end
end
return {'RENAMED', clock(), renamed}
