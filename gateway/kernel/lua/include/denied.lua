-- The answer to a join that is denied: `denied`, and `reason`. After decide.lua, where `failed` is set; also needs `id`.
local reason, use, child = ARGV[at + 6 * failed + 2], n[failed], ''
if ARGV[at + 6 * failed - 3] == 'mark' then use = set_size[failed] end
if ARGV[at + 6 * failed - 3] == 'parent' then
  child = redis.call('HGET', groups_key, '<' .. ARGV[at + 6 * failed - 2]) or ''
end
local denied = {'DENY', now, id, alternative, failed, use, child}
