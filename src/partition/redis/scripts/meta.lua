-- What is said once about the whole store. KEYS[1] its key; ARGV: format, id, sealed secret
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'format', ARGV[1], 'id', ARGV[2], 'secret', ARGV[3])
end
return redis.call('HMGET', KEYS[1], 'format', 'id', 'secret')
