-- Forgets a chat. KEYS[1] record; ARGV: label
return redis.call('HDEL', KEYS[1], ARGV[1])
