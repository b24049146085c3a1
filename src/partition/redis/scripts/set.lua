-- Makes an id the partition's current one.
-- KEYS[1] base; ARGV: lock or '', token, field, id, agent, owner, version, now
local base, lock, token, field, id, agent, owner, version, now = KEYS[1], unpack(ARGV)
local late = refusal(base, lock, token, owner .. ':' .. version)
if late then return late end
save(base, lock, token, field, id, agent, owner, version, now)
return 1
