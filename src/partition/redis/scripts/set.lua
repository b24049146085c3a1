-- Makes an id the partition's current one, and remembers its first owner.
-- KEYS[1] base; ARGV: lock or '', token, field, id, agent, owner, version, now
local base, lock, token, field, id, agent, owner, version, now = KEYS[1], unpack(ARGV)
local partition = owner .. ':' .. version
local record = base .. ':p:' .. partition
if lock ~= '' and redis.call('GET', base .. lock) ~= token then return redis.error_reply('FENCED lost') end
if lock == ':l:p:' .. partition then
  local fence = tonumber(string.match(token, '^%d+'))
  if fence < tonumber(redis.call('HGET', record, 'fence') or '0') then return redis.error_reply('FENCED late') end
  redis.call('HSET', record, 'fence', fence)
end
local kind = field == 'session' and 's' or 'c'
redis.call('HSET', record, 'agent', agent, 'owner', owner, 'version', version, field, id, 'at', now)
redis.call('ZADD', base .. ':ps', now, partition)
redis.call('HSETNX', base .. ':' .. kind .. ':' .. id, 'owner', owner)
redis.call('SADD', base .. ':' .. kind .. 'i:' .. id, partition)
return 1
