-- Every partition of an agent. KEYS[1] base
local found = {}
for _, partition in ipairs(redis.call('ZREVRANGE', KEYS[1] .. ':ps', 0, -1)) do
  found[#found + 1] = redis.call('HGETALL', KEYS[1] .. ':p:' .. partition)
end
return found
