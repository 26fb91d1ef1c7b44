-- Nothing is done in a store that is not what the gateway knows: another server, or one that has lost the bucket, may lack what was
-- acknowledged. Code to stand in a script; needs meta_key and now, leaves `meta` (also until when the bucket is recovering) and `epoch`.
--   ARGV[1] server           run_id of the server that the gateway talks to; each connection puts it before the arguments
--   ARGV[2] epoch            of the bucket, as the gateway knows it
local meta = redis.call('HMGET', meta_key, 'epoch', 'server', 'recovering')
local epoch = meta[1]
if epoch ~= ARGV[2] or meta[2] ~= ARGV[1] then return {'EPOCH', now, epoch or '0'} end
