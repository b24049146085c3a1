-- Notes something about a run of this process. KEYS[1] base; ARGV: process, run, field, value, time or ''
local base, process, run, field, value, at = KEYS[1], unpack(ARGV)
local record = base .. ':r:' .. run
local by = redis.call('HGET', record, 'daemon')
if not by then return 0 end
local holder = redis.call('GET', base .. ':l:d:' .. by)
if not holder or not string.find(holder, process, 1, true) then return redis.error_reply('FENCED taken') end
-- The first ending stands.
local before = redis.call('HGET', record, field)
if field == 'ended' and before and before ~= '' then return 1 end
redis.call('HSET', record, field, value)
if at ~= '' then
  redis.call('HSET', record, 'at', at)
  redis.call('ZADD', base .. ':rs', at, run)
end
return 1
