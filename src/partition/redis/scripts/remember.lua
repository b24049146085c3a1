-- Remembers whose a session is, and its ownership key.
-- KEYS[1] base; ARGV: lock or '', token, session, owner, sealed key or ''
local base, lock, token, session, owner, sealed = KEYS[1], unpack(ARGV)
local late = refusal(base, lock, token, '')
if late then return late end
local record = base .. ':s:' .. session
local before = redis.call('HGET', record, 'owner')
if before then redis.call('SREM', base .. ':so:' .. before, session) end
redis.call('HSET', record, 'owner', owner)
if sealed == '' then
  redis.call('HDEL', record, 'key')
else
  redis.call('HSET', record, 'key', sealed)
  redis.call('SADD', base .. ':so:' .. owner, session)
end
return 1
