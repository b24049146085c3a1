-- What the scripts that write have in common.

-- Why a write is refused: its lease is lost, or a later holder has written the record of the partition ('' for none).
local function refusal(base, lock, token, partition)
  if lock == '' then return nil end
  if redis.call('GET', base .. lock) ~= token then return redis.error_reply('FENCED lost') end
  if partition == '' or lock ~= ':l:p:' .. partition then return nil end
  local record, fence = base .. ':p:' .. partition, tonumber(string.match(token, '^%d+'))
  if fence < tonumber(redis.call('HGET', record, 'fence') or '0') then return redis.error_reply('FENCED late') end
  return nil
end

-- Makes an id the partition's current one, and remembers its first owner.
local function save(base, lock, token, field, id, agent, owner, version, now)
  local partition = owner .. ':' .. version
  local record = base .. ':p:' .. partition
  if lock == ':l:p:' .. partition then redis.call('HSET', record, 'fence', string.match(token, '^%d+')) end
  local kind = field == 'session' and 's' or 'c'
  local before = redis.call('HGET', record, field)
  if kind == 's' and before and before ~= id then redis.call('SREM', base .. ':si:' .. before, partition) end
  redis.call('HSET', record, 'agent', agent, 'owner', owner, 'version', version, field, id, 'at', now)
  -- Where all scores are the same, the store keeps the order of the keys.
  redis.call('ZADD', base .. ':ps', '0', partition)
  redis.call('HSETNX', base .. ':' .. kind .. ':' .. id, 'owner', owner)
  redis.call('SADD', base .. ':' .. kind .. 'i:' .. id, partition)
end

