--- `:Cupola monitor [SESSION]`: a session's log, followed into a buffer until the buffer is closed.
local failure = require('cupola.failure')
local known = require('cupola.known')
local scope = require('cupola.scope')
local view = require('cupola.view')

local M = { about = "follow a session's log" }

--- Logs that are followed, by buffer.
---@type table<integer, cupola.Call>
local followed = {}

---@param event table
---@return string[]?
local function shown(event)
  if event.type == 'line' then
    local stream = event.stream and ('%-6s '):format(event.stream) or ''
    local time = event.timestamp and event.timestamp:match('T(%d+:%d+:%d+)')
    return view.lines((time and time .. ' ' or '') .. stream .. event.message)
  elseif event.type == 'session' then
    return { ('-- session is %s'):format(event.state) }
  elseif event.type == 'raw' then
    return view.lines(event.data)
  elseif event.type == 'notice' then
    return { '-- ' .. event.message }
  end
end

--- Follows the log of a session, or of the current one.
---@param in_scope cupola.Scope
---@param session? string
function M.follow(in_scope, session)
  local buffer
  local function stop()
    local call = followed[buffer]
    followed[buffer] = nil
    if call then
      call.cancel()
    end
  end
  buffer = view.open({
    name = 'log/' .. (session or 'current'),
    filetype = 'cupolalog',
    keys = {
      q = { function() vim.cmd('bdelete!') end, 'stop following and close' },
      ['<C-c>'] = { stop, 'stop following' },
      R = { function() M.follow(in_scope, session) end, 'read it again' },
    },
    on_unload = function() stop() end,
  })
  vim.bo[buffer].modifiable = false
  view.set_lines(buffer, { ('-- log of %s, %s'):format(session or 'the current session', in_scope.label) })
  followed[buffer] = in_scope.call('monitor', { sessionId = session, follow = true }, {
    on_progress = function(event)
      local lines = shown(event)
      if lines and vim.api.nvim_buf_is_loaded(buffer) then
        view.append(buffer, lines)
      end
    end,
    on_done = function(reason)
      followed[buffer] = nil
      local cancelled = reason and failure.is_cancelled(reason)
      if vim.api.nvim_buf_is_loaded(buffer) then
        local why = cancelled and 'stopped' or reason and reason.message or 'the log has ended'
        view.append(buffer, { '', ('-- %s; R reads it again'):format(why) })
      end
      if reason and not cancelled then
        failure.show(reason)
      end
    end,
  })
end

--- Stops following every log.
---@return integer count
function M.stop_all()
  local calls = followed
  followed = {}
  for _, call in pairs(calls) do
    call.cancel()
  end
  return vim.tbl_count(calls)
end

function M.run(arguments)
  M.follow(scope.current(), arguments ~= '' and arguments or nil)
end

function M.complete(words)
  return #words == 0 and known.names(scope.current(), 'sessions') or {}
end

return M
