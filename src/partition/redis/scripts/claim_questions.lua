-- Takes questions to answer them, all or none: 'ok' and their texts, or why not and the first that is not open. The claim's name is kept,
-- so that the script may run twice. KEYS[1] base; ARGV: lock or '', token, partition, claim, id, id, …
local base, lock, token, partition, claim = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local late = refusal(base, lock, token, '')
if late then return late end
local record, found, values = base .. ':q:' .. partition, {'ok'}, {}
for i = 5, #ARGV do
  local value = redis.call('HGET', record, 'q' .. ARGV[i])
  if not value then return {'unknown', ARGV[i]} end
  local state, number, text = string.match(value, '^([^|]*)|(%d+)|(.*)$')
  if state ~= 'open' and state ~= 'claimed ' .. claim then return {'answered', ARGV[i]} end
  table.insert(found, text)
  table.insert(values, 'claimed ' .. claim .. '|' .. number .. '|' .. text)
end
for i = 5, #ARGV do redis.call('HSET', record, 'q' .. ARGV[i], values[i - 4]) end
return found
