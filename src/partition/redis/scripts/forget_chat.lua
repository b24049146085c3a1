-- Forgets a chat. KEYS[1] base; ARGV: lock or '', token, owner, label
local base, lock, token, owner, label = KEYS[1], unpack(ARGV)
local late = refusal(base, lock, token, '')
if late then return late end
return redis.call('HDEL', base .. ':t:' .. owner, label)
