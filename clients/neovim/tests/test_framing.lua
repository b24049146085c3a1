-- Bytes and messages.
local framing = require('cupola.framing')
local support = require('support')

local function frame(message)
  return framing.encode(message)
end

return {
  {
    'messages come out whole however the bytes are cut',
    function()
      local sent = { { id = 1, text = 'käse\n' }, { id = 2 }, { id = 3, text = ('x'):rep(5000) } }
      local bytes = table.concat(vim.tbl_map(frame, sent))
      for _, size in ipairs({ 1, 2, 7, 100, #bytes }) do
        local decode, got = framing.decoder(), {}
        for start = 1, #bytes, size do
          vim.list_extend(got, decode(bytes:sub(start, start + size - 1)))
        end
        support.equal(got, sent, ('in pieces of %d'):format(size))
      end
    end,
  },
  {
    'other headers are passed over and nulls are nothing',
    function()
      local body = '{"id":1,"result":null}'
      local head = ('Content-Type: application/json\r\ncontent-length:%d\r\n\r\n'):format(#body)
      support.equal(framing.decoder()(head .. body), { { id = 1 } })
    end,
  },
  {
    'bytes that are not a message are an error, and so is an excessive length; what came before them counts',
    function()
      for _, bytes in ipairs({
        'HTTP/1.1 400 Bad\r\n\r\n',
        'Content-Length: 99999999999\r\n\r\n',
        'Content-Length: 2x\r\n\r\n{}',
        'Content-Length: 2\r\n\r\n{x',
        'Content-Length: 1\r\n\r\n3',
        ('Content-Length: 4000\r\n\r\n%s%s'):format(('['):rep(2000), (']'):rep(2000)),
      }) do
        local messages, reason = framing.decoder()(frame({ id = 1 }) .. bytes)
        support.equal(messages, { { id = 1 } }, bytes)
        assert(reason, bytes)
      end
    end,
  },
  {
    'a message is as long as it may be and no longer',
    function()
      local limit = framing.MAX_BYTES
      framing.MAX_BYTES = 20
      local longest, too_long = framing.encode({ a = ('x'):rep(12) }), framing.encode({ a = ('x'):rep(13) })
      local messages = framing.decoder()(longest)
      local _, reason = framing.decoder()('Content-Length: 21\r\n\r\n')
      framing.MAX_BYTES = limit
      support.equal(messages, { { a = ('x'):rep(12) } })
      support.equal(too_long, nil)
      support.has(reason, 'more than 20 bytes')
    end,
  },
}
