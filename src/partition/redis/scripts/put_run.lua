-- Writes a run down in the name of a daemon that this process is.
-- KEYS[1] base; ARGV: process, run, daemon, at, then pairs of field and value ('' for none)
local base, process, run, daemon, at = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local record = base .. ':r:' .. run
local function is_mine(name)
  local holder = redis.call('GET', base .. ':l:d:' .. name)
  return holder and string.find(holder, process, 1, true) ~= nil
end
local by = redis.call('HGET', record, 'daemon')
if not is_mine(daemon) then return redis.error_reply('FENCED lost') end
-- A run of a daemon that lives, or that another one takes over, is not taken.
if by and by ~= daemon and redis.call('EXISTS', base .. ':l:d:' .. by) == 1 and not is_mine(by) then
  return redis.error_reply('FENCED taken')
end
redis.call('DEL', record)
redis.call('HSET', record, 'daemon', daemon, 'at', at)
for i = 5, #ARGV, 2 do
  if ARGV[i + 1] ~= '' then redis.call('HSET', record, ARGV[i], ARGV[i + 1]) end
end
redis.call('ZADD', base .. ':rs', at, run)
return 1
