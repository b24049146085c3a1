-- The answers of questions that this claim has were sent ('1'), and their texts go; or they were not (''), and the questions are open
-- again. KEYS[1] base; ARGV: lock or '', token, partition, claim, '1' or '', id, id, …
local base, lock, token, partition, claim, sent = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local late = refusal(base, lock, token, '')
if late then return late end
local record = base .. ':q:' .. partition
for i = 6, #ARGV do
  local field = 'q' .. ARGV[i]
  local state, number, text = string.match(redis.call('HGET', record, field) or '', '^([^|]*)|(%d+)|(.*)$')
  if state == 'claimed ' .. claim then
    redis.call('HSET', record, field, sent == '1' and 'answered|' .. number .. '|' or 'open|' .. number .. '|' .. text)
  end
end
return 1
