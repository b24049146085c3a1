-- Forgets partitions of one agent, what was asked there, and the ownership keys of sessions that no other version of the owner continues.
-- KEYS[1] base; ARGV: lock or '', token, owner, version, owner, version, …
local base, lock, token, forgotten = KEYS[1], ARGV[1], ARGV[2], 0
local late = refusal(base, lock, token, lock == '' and '' or ARGV[3] .. ':' .. ARGV[4])
if late then return late end
for i = 3, #ARGV, 2 do
  local owner, partition = ARGV[i], ARGV[i] .. ':' .. ARGV[i + 1]
  local current = redis.call('HGET', base .. ':p:' .. partition, 'session')
  if current then redis.call('SREM', base .. ':si:' .. current, partition) end
  forgotten = forgotten + redis.call('DEL', base .. ':p:' .. partition)
  redis.call('ZREM', base .. ':ps', partition)
  redis.call('DEL', base .. ':q:' .. partition)
  redis.call('INCR', base .. ':g:' .. partition)
  for _, session in ipairs(redis.call('SMEMBERS', base .. ':so:' .. owner)) do
    local continued = false
    for _, other in ipairs(redis.call('SMEMBERS', base .. ':si:' .. session)) do
      local is_own = string.sub(other, 1, #owner + 1) == owner .. ':'
      if is_own and redis.call('HGET', base .. ':p:' .. other, 'session') == session then continued = true end
    end
    if not continued then
      redis.call('HDEL', base .. ':s:' .. session, 'key')
      redis.call('SREM', base .. ':so:' .. owner, session)
    end
  end
end
return forgotten
