-- Holds a name, or takes the place behind its holder. With a partition, what is saved of it is answered, too, and its current session
-- is held if it is free, so that a call on it need not ask again.
-- KEYS[1] base; ARGV: lock, who asks, lease (ms), the partition or '', whether to take the place, how long that is kept (ms)
local base, lock, who, lease, partition, waits, place = KEYS[1], unpack(ARGV)
-- Its token, or nil: somebody else has it or comes next.
local function hold(key)
  local holder = redis.call('GET', key)
  -- The answer to an earlier request was lost.
  if holder and string.sub(holder, -#who - 1) == '.' .. who then return holder end
  local waiting = redis.call('GET', key .. ':next')
  if holder or (waiting and waiting ~= who) then return nil end
  local fence = redis.call('INCR', base .. ':f')
  if partition ~= '' then
    -- The counter may have gone back with a failover; the record may not.
    local last = tonumber(redis.call('HGET', base .. ':p:' .. partition, 'fence') or '0')
    if fence <= last then
      fence = last + 1
      redis.call('SET', base .. ':f', fence)
    end
  end
  local token = string.format('%d.%s', fence, who)
  redis.call('SET', key, token, 'PX', lease)
  if waiting then redis.call('DEL', key .. ':next') end
  return token
end
local key = base .. lock
local token = hold(key)
if token then
  if partition == '' then return {token} end
  local saved = redis.call('HMGET', base .. ':p:' .. partition, 'session', 'conversation', 'context')
  local session = saved[1] and hold(base .. ':l:s:' .. saved[1])
  return {token, saved[1] or '', saved[2] or '', saved[3] or '', session or ''}
end
local waiting = redis.call('GET', key .. ':next')
if waits == '1' and (not waiting or waiting == who) then
  redis.call('SET', key .. ':next', who, 'PX', place)
end
return {}
