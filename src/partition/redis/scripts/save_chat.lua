-- Remembers a chat. KEYS[1] base; ARGV: lock or '', token, owner, label, text
local base, lock, token, owner, label, text = KEYS[1], unpack(ARGV)
local late = refusal(base, lock, token, '')
if late then return late end
return redis.call('HSET', base .. ':t:' .. owner, label, text)
