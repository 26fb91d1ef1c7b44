#!lua flags=allow-oom
-- beat: a page of a heartbeat. The last page of a full one tells whether the node lists anything that the store does not know.
--
-- KEYS[1] nodes
-- ARGV[1] server, ARGV[2] epoch: as of every script; the epoch is not looked at
-- ARGV[3] node
-- ARGV[4] page
-- ARGV[5] pages
-- ARGV[6] listed           legs on this page
-- ARGV[7] unknown          of them, unknown to the store
-- ARGV[8] nodes_max
--
-- Answers: BEAT now
-- A node is `at pages page legs unknown full whole held server`: last sign of life, the heartbeat that is being received, when one was complete, when
-- one was complete and nothing in it unknown to this very server (ms; 0: never), how many legs the last complete one held. Pages that come out of
-- order make none complete.

-- @include clock

local now, server, node, page, pages = clock(), ARGV[1], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local stored = redis.call('HGET', KEYS[1], node)
if not stored and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[8]) then return {'BEAT', now} end
local of, seen, legs, unknown, full, whole, held, heard_by =
  string.match(stored or '', '^%d+ (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (.*)$')
full, whole, held = full or 0, heard_by == server and whole or 0, held or 0
if page == 1 then
  seen, legs, unknown = 0, 0, 0
end
if heard_by ~= server then seen = 0 end   -- what another server knew says nothing
if page == (tonumber(seen or 0) + 1) and (page == 1 or tonumber(of) == pages) then
  seen, legs, unknown = page, legs + tonumber(ARGV[6]), unknown + tonumber(ARGV[7])
  if page == pages then
    full, held = now, legs
    if unknown == 0 then whole = now end
  end
end
redis.call('HSET', KEYS[1], node, table.concat({now, pages, seen or 0, legs or 0, unknown or 0, full, whole, held, server}, ' '))
return {'BEAT', now}
