-- An agent asks. A field per question has its state, its number and its text; the field n has the last number.
-- KEYS[1] base; ARGV: lock or '', token, partition, '1' if known questions stay or '', most, milliseconds, then pairs of id and text
local base, lock, token, partition, again, most, life = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local late = refusal(base, lock, token, '')
if late then return late end
local record = base .. ':q:' .. partition
for i = 7, #ARGV, 2 do
  local field = 'q' .. ARGV[i]
  if again == '' or not redis.call('HGET', record, field) then
    local number = string.format('%d', tonumber(redis.call('HGET', record, 'n') or '0') + 1)
    redis.call('HSET', record, 'n', number, field, 'open|' .. number .. '|' .. ARGV[i + 1])
  end
end
local fields, numbers = redis.call('HGETALL', record), {}
for i = 1, #fields, 2 do
  if fields[i] ~= 'n' then
    table.insert(numbers, {tonumber(string.match(fields[i + 1], '^[^|]*|(%d+)|')), fields[i]})
  end
end
table.sort(numbers, function(one, other) return one[1] < other[1] end)
for i = 1, #numbers - tonumber(most) do redis.call('HDEL', record, numbers[i][2]) end
redis.call('PEXPIRE', record, life)
return 1
