-- Remembers a chat. KEYS[1] record; ARGV: label, text
return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
