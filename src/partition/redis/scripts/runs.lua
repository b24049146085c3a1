-- Every run, the latest changed first: its id, then its fields. KEYS[1] base
local found = {}
for _, run in ipairs(redis.call('ZREVRANGE', KEYS[1] .. ':rs', 0, -1)) do
  found[#found + 1] = {run, redis.call('HGETALL', KEYS[1] .. ':r:' .. run)}
end
return found
