-- Takes runs of this process out. KEYS[1] base; ARGV: process, run, run, …
local base, process = KEYS[1], ARGV[1]
for i = 2, #ARGV do
  local record = base .. ':r:' .. ARGV[i]
  local by = redis.call('HGET', record, 'daemon')
  local holder = by and redis.call('GET', base .. ':l:d:' .. by)
  if by and holder and string.find(holder, process, 1, true) then
    redis.call('DEL', record)
    redis.call('ZREM', base .. ':rs', ARGV[i])
  end
end
return 1
