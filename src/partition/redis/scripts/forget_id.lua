-- Forgets a session (kind s) or a conversation or context (kind c), wherever it is the current one.
-- KEYS[1] base; ARGV: lock or '', token, kind, id, now
local base, lock, token, kind, id, now = KEYS[1], unpack(ARGV)
local late = refusal(base, lock, token, '')
if late then return late end
local record, index = base .. ':' .. kind .. ':' .. id, base .. ':' .. kind .. 'i:' .. id
local owner = redis.call('HGET', record, 'owner')
if owner and kind == 's' then
  redis.call('SREM', base .. ':so:' .. owner, id)
  redis.call('SREM', base .. ':o:' .. owner, id)
end
redis.call('DEL', record)
for _, partition in ipairs(redis.call('SMEMBERS', index)) do
  for _, field in ipairs(kind == 's' and {'session'} or {'conversation', 'context'}) do
    if redis.call('HGET', base .. ':p:' .. partition, field) == id then
      redis.call('HDEL', base .. ':p:' .. partition, field)
      redis.call('HSET', base .. ':p:' .. partition, 'at', now)
      -- The next session is another one.
      if kind == 's' then redis.call('INCR', base .. ':g:' .. partition) end
    end
  end
end
redis.call('DEL', index)
return 1
