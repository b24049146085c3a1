-- Puts the partitions of an agent in the order of their keys: those that earlier versions of this program have changed have a time.
-- KEYS[1] base
while true do
  local highest = redis.call('ZREVRANGE', KEYS[1] .. ':ps', '0', '0', 'WITHSCORES')
  if not highest[2] or highest[2] == '0' then break end
  redis.call('ZADD', KEYS[1] .. ':ps', '0', highest[1])
end
