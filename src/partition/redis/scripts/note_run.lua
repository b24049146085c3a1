-- Notes something about a run of this process, and whose the response is that answered it ('' for none), without a request more.
-- KEYS[1] base; ARGV: process, run, field, value, time or '', response or '', how long that is kept (ms), most responses of an owner
local base, process, run, field, value, at, response, life, most = KEYS[1], unpack(ARGV)
local record = base .. ':r:' .. run
local by = redis.call('HGET', record, 'daemon')
if not by then return 0 end
local holder = redis.call('GET', base .. ':l:d:' .. by)
if not holder or not string.find(holder, process, 1, true) then return redis.error_reply('FENCED taken') end
local agent, owner = redis.call('HGET', record, 'agent'), redis.call('HGET', record, 'owner')
if response ~= '' and agent and owner then
  -- The length keeps two agents apart, whatever their names and the ids have in them.
  local key = string.format('%s:a:%d:%s:%s', base, #agent, agent, response)
  -- The first owner stays.
  if redis.call('EXISTS', key) == 0 then
    local latest = base .. ':ao:' .. owner
    redis.call('SET', key, owner, 'PX', life)
    redis.call('ZADD', latest, at, key)
    redis.call('PEXPIRE', latest, life)
    if redis.call('ZCARD', latest) > tonumber(most) then
      for _, old in ipairs(redis.call('ZREVRANGE', latest, most, '-1')) do
        redis.call('DEL', old)
        redis.call('ZREM', latest, old)
      end
    end
  end
end
-- The first ending stands.
local before = redis.call('HGET', record, field)
if field == 'ended' and before and before ~= '' then return 1 end
redis.call('HSET', record, field, value)
if at ~= '' then
  redis.call('HSET', record, 'at', at)
  redis.call('ZADD', base .. ':rs', at, run)
end
return 1
