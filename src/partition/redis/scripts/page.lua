-- Partitions of an agent in the order of their keys: the key of each, and its fields. Nothing, if they are not in that order.
-- KEYS[1] base; ARGV: from, to, most
local partitions = KEYS[1] .. ':ps'
local highest = redis.call('ZREVRANGE', partitions, '0', '0', 'WITHSCORES')
if highest[2] and highest[2] ~= '0' then return false end
local found = {}
for _, partition in ipairs(redis.call('ZRANGEBYLEX', partitions, ARGV[1], ARGV[2], 'LIMIT', '0', ARGV[3])) do
  found[#found + 1] = {partition, redis.call('HGETALL', KEYS[1] .. ':p:' .. partition)}
end
return found
