-- Gives a lease back. KEYS[1] base; ARGV: lock, token
if redis.call('GET', KEYS[1] .. ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('DEL', KEYS[1] .. ARGV[1])
