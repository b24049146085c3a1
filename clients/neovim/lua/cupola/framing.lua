--- Messages to bytes and back, in the framing of LSP's base protocol. Pure: may run in any callback.
local M = {}

--- The longest message in both directions, in bytes: the protocol's own limit.
M.MAX_BYTES = 64 * 1024 * 1024

--- Nothing for what is longer than a message may be.
---@param message table
---@return string? bytes
function M.encode(message)
  local body = vim.json.encode(message)
  if #body > M.MAX_BYTES then
    return nil
  end
  return ('Content-Length: %d\r\n\r\n%s'):format(#body, body)
end

--- A function that takes bytes as they come and gives the messages they complete. On bytes that are not messages it also
--- gives the reason, and the connection is of no use then; the messages before them count.
---@return fun(chunk: string): table[], string?
function M.decoder()
  local chunks, have = {}, 0
  -- Bytes without which there is no use in looking again, so that a long message is not searched at every piece of it.
  local wanted = 0
  return function(chunk)
    chunks[#chunks + 1] = chunk
    have = have + #chunk
    local messages = {}
    if have < wanted then
      return messages
    end
    local bytes, position = table.concat(chunks), 1
    wanted = 0
    while true do
      local head_end, body_start = bytes:find('\r\n\r\n', position, true)
      if not head_end then
        break
      end
      local head = bytes:sub(position, head_end - 1):lower()
      local length = tonumber(('\n' .. head):match('\ncontent%-length:[ \t]*(%d+)[ \t]*%f[\r\n%z]'))
      if not length then
        return messages, 'the daemon sent bytes that are not a message'
      elseif length > M.MAX_BYTES then
        return messages, ('the daemon sent a message of more than %d bytes'):format(M.MAX_BYTES)
      end
      local body_end = body_start + length
      if #bytes < body_end then
        wanted = body_end - position + 1
        break
      end
      local body = bytes:sub(body_start + 1, body_end)
      local readable, message = pcall(vim.json.decode, body, { luanil = { object = true, array = true } })
      if not readable or type(message) ~= 'table' then
        return messages, 'the daemon sent a message that cannot be read: ' .. tostring(message)
      end
      messages[#messages + 1] = message
      position = body_end + 1
    end
    chunks, have = { bytes:sub(position) }, #bytes - position + 1
    return messages
  end
end

return M
