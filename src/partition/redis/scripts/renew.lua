-- Prolongs a lease that is still held. KEYS[1] base; ARGV: lock, token, lease (ms)
if redis.call('GET', KEYS[1] .. ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('PEXPIRE', KEYS[1] .. ARGV[1], ARGV[3])
