-- Answers that are hard to read, messages that are too long, and a daemon that speaks nonsense.
local connection = require('cupola.connection')
local daemon = require('cupola.daemon')
local framing = require('cupola.framing')
local support = require('support')
local uv = vim.uv or vim.loop

--- Calls a method of the agent in tests/fixtures/odd_agent.py: its events, its error and its result.
local function ask(input, protocol)
  local port
  local agent = vim.fn.jobstart({ 'python3', vim.fn.fnamemodify(support.plugin, ':h:h') .. '/tests/fixtures/odd_agent.py' }, {
    on_stdout = function(_, lines)
      port = port or tonumber(lines[1])
    end,
  })
  support.wait('the agent listens', function() return port end)
  local events, done, reason, result = {}, false, nil, nil
  local params = { target = { kind = 'local', port = port }, input = input, protocol = protocol }
  daemon.shared:call('invoke', params, {
    on_progress = function(event)
      table.insert(events, event)
    end,
    on_done = function(...)
      done, reason, result = true, ...
    end,
  })
  support.wait(input .. ' is answered', function() return done end)
  vim.fn.jobstop(agent)
  assert(not reason, reason and reason.message)
  return events, result
end

--- The value of the odd event.
local function odd(events)
  for _, event in ipairs(events) do
    if event.name == 'response.odd' then
      return event.data.value
    end
  end
end

return {
  {
    'what no reader could read arrives as text',
    function()
      for input, expected in pairs({ ['digits 6000'] = ('9'):rep(6000), half = '\239\191\189' }) do
        local events, result = ask(input, 'responses')
        support.equal(odd(events), expected, input)
        support.equal(result.text, 'done')
      end
      local events, result = ask('deep 5000', 'responses')
      local level, depth = odd(events), 0
      while type(level) == 'table' do
        level, depth = level[1], depth + 1
      end
      support.equal(('['):rep(depth) .. level .. (']'):rep(depth), ('['):rep(5000) .. '1' .. (']'):rep(5000))
      support.equal(result.text, 'done')
    end,
  },
  {
    'a long answer arrives whole',
    function()
      local events, result = ask('long 31000000', 'invocations')
      local whole = (('x'):rep(99) .. '\n'):rep(310000) .. 'end'
      assert(result.text == whole, #result.text)
      local deltas = vim.tbl_map(function(event) return event.delta or '' end, events)
      assert(table.concat(deltas) == whole)
    end,
  },
  {
    'a request that no message can hold is refused here, and the line lives',
    function()
      local limit, before = framing.MAX_BYTES, support.call('daemon/status').connections
      framing.MAX_BYTES = 1000
      local reason
      daemon.shared:call('invoke', { target = { kind = 'emulator' }, input = ('x'):rep(1000) }, {
        on_done = function(error) reason = error end,
      })
      support.wait('its ending', function() return reason end)
      framing.MAX_BYTES = limit
      support.equal(reason.data.kind, 'messageTooLong')
      support.equal(support.call('daemon/status').connections, before)
    end,
  },
  {
    'every call ends when the reader does, and an answer before the nonsense counts',
    function()
      local deep = ('['):rep(2000) .. (']'):rep(2000)
      for _, nonsense in ipairs({ 'HTTP/1.1 400 Bad\r\n\r\n', ('Content-Length: %d\r\n\r\n%s'):format(#deep, deep) }) do
        local path, server = vim.fn.tempname(), uv.new_pipe(false)
        server:bind(path)
        server:listen(1, function()
          local accepted = uv.new_pipe(false)
          server:accept(accepted)
          local heard = ''
          accepted:read_start(function(_, chunk)
            heard = heard .. (chunk or '')
            -- When both calls are there.
            if select(2, heard:gsub('Content%-Length', '')) == 2 then
              heard = ''
              accepted:write(framing.encode({ id = 1, result = { runs = 1 } }) .. nonsense)
            end
          end)
        end)
        local first, second
        connection.open(path, function(_, opened)
          opened:call('daemon/status', {}, { on_done = function(_, result) first = result end })
          opened:call('daemon/status', {}, { on_done = function(error) second = error end })
        end)
        support.wait('both calls end', function() return first and second end)
        support.equal(first, { runs = 1 })
        support.equal(second.data.kind, 'connectionLost')
        server:close()
      end
    end,
  },
}
