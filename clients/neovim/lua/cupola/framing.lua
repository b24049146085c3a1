--- Messages to bytes and back, in the framing of LSP's base protocol. Pure: may run in any callback.
local M = {}

--- The longest message the daemon takes or sends, in bytes.
M.MAX_BYTES = 16 * 1024 * 1024

---@param message table
---@return string bytes
function M.encode(message)
  local body = vim.json.encode(message)
  return ('Content-Length: %d\r\n\r\n%s'):format(#body, body)
end

--- A function that takes bytes as they come and gives the messages they complete. It raises an error on bytes that are
--- no messages; the connection is of no use then.
---@return fun(chunk: string): table[]
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
      local length = tonumber(('\n' .. head):match('\ncontent%-length:[ \t]*(%d+)'))
      if not length or length > M.MAX_BYTES then
        error('the daemon sent bytes that are no message', 0)
      end
      local body_end = body_start + length
      if #bytes < body_end then
        wanted = body_end - position + 1
        break
      end
      local body = bytes:sub(body_start + 1, body_end)
      messages[#messages + 1] = vim.json.decode(body, { luanil = { object = true, array = true } })
      position = body_end + 1
    end
    chunks, have = { bytes:sub(position) }, #bytes - position + 1
    return messages
  end
end

return M
