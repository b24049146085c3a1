-- Gives a partition its session of a pool: the one that it has, else the one with the fewest partitions. A new one is added once each has
-- its share, up to a bound. '' if there is none and none may be added.
-- KEYS[1] base; ARGV: lock or '', token, agent, owner, version, now, pool, most sessions, share, id of a new session
local base, lock, token, agent, owner, version, now, pool, most, share, new = KEYS[1], unpack(ARGV)
local late = refusal(base, lock, token, owner .. ':' .. version)
if late then return late end
local current = redis.call('HGET', base .. ':p:' .. owner .. ':' .. version, 'session')
if current and redis.call('HGET', base .. ':s:' .. current, 'owner') == pool then return current end
local sessions = redis.call('SMEMBERS', base .. ':o:' .. pool)
table.sort(sessions)
local chosen, least = '', 0
for _, session in ipairs(sessions) do
  local load = redis.call('SCARD', base .. ':si:' .. session)
  if chosen == '' or load < least then chosen, least = session, load end
end
if (chosen == '' or least >= tonumber(share)) and #sessions < tonumber(most) then
  chosen = new
  redis.call('HSET', base .. ':s:' .. new, 'owner', pool)
  redis.call('SADD', base .. ':o:' .. pool, new)
end
if chosen ~= '' then save(base, lock, token, 'session', chosen, agent, owner, version, now) end
return chosen
