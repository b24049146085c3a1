--- `:Cupola sessions [create|use|stop|delete [ID]]`: the sandboxes of this isolation, as a list with keys, or one action.
local failure = require('cupola.failure')
local known = require('cupola.known')
local lists = require('cupola.list')
local scope = require('cupola.scope')

local M = { about = 'list, make, choose, stop and delete sessions' }

local ACTIONS = { 'create', 'delete', 'stop', 'use' }
local DONE = { create = 'made', delete = 'deleted', stop = 'stopped', use = 'in use' }

--- Does one thing to one session.
---@param in_scope cupola.Scope
---@param action 'create'|'delete'|'stop'|'use'
---@param session? string the current one when left out; for `create`, the id to give it
---@param callback? fun() called when it is done
local function act(in_scope, action, session, callback)
  in_scope.call('sessions/' .. action, { sessionId = session }, {
    on_done = function(reason, result)
      if reason then
        return failure.show(reason)
      end
      local id = result.agent_session_id or result.sessionId
      if action == 'create' then
        known.add(in_scope, 'sessions', id)
      end
      failure.say(('session %s is %s'):format(id, DONE[action]))
      if callback then
        callback()
      end
    end,
  })
end

---@param time? number Unix seconds
---@return string
local function shown_time(time)
  return time and os.date('%Y-%m-%d %H:%M', time) or ''
end

---@param session table
---@return string
local function line(session)
  local mark = session.is_current and '*' or ' '
  local version = session.version_indicator and session.version_indicator.agent_version or '-'
  return ('%s %-40s %-9s v%-4s %s'):format(
    mark, session.agent_session_id, session.status or '-', version, shown_time(session.last_accessed_at))
end

--- Fills the list: two calls at once, the sessions and which of them is current.
---@param in_scope cupola.Scope
---@param list cupola.List
local function refresh(in_scope, list)
  local listed, current, waiting = nil, nil, 2
  local function arrived()
    waiting = waiting - 1
    if waiting > 0 or not listed then
      return
    end
    for _, session in ipairs(listed.data) do
      session.is_current = session.agent_session_id == current
    end
    list.show('Sessions of ' .. in_scope.label, listed.data, line)
  end
  in_scope.call('sessions/list', {}, {
    on_done = function(reason, result)
      if reason then
        failure.show(reason)
      else
        listed = result
        known.learn(in_scope, 'sessions', result)
      end
      arrived()
    end,
  })
  in_scope.call('sessions/show', {}, {
    on_done = function(_, result)
      -- A missing current session is not a failure: the next invoke creates one.
      current = result and result.agent_session_id
      arrived()
    end,
  })
end

---@param in_scope cupola.Scope
function M.open(in_scope)
  local again
  local function on_item(callback)
    return function(list)
      local session = list.item()
      if session then
        callback(session.agent_session_id)
      end
    end
  end
  local list = lists.open('sessions', {
    ['<CR>'] = { on_item(function(id) act(in_scope, 'use', id, again) end), 'continue in this session' },
    c = { function() act(in_scope, 'create', nil, again) end, 'make a session' },
    s = { on_item(function(id) act(in_scope, 'stop', id, again) end), 'stop it; its files stay' },
    d = {
      on_item(function(id)
        lists.confirm(('Delete session %s and its files?'):format(id), 'Delete', function()
          act(in_scope, 'delete', id, again)
        end)
      end),
      'delete it and its files',
    },
    f = { on_item(function(id) require('cupola.commands.files').open(in_scope, { session = id }) end), 'its files' },
    l = { on_item(function(id) require('cupola.commands.monitor').follow(in_scope, id) end), 'its log' },
    R = { function() again() end, 'read the list again' },
  })
  again = function()
    refresh(in_scope, list)
  end
  again()
end

function M.run(arguments)
  local action, session = arguments:match('^(%S*)%s*(%S*)$')
  if action == '' then
    return M.open(scope.current())
  elseif not vim.tbl_contains(ACTIONS, action) then
    return failure.say('say nothing, or one of: ' .. table.concat(ACTIONS, ', '), vim.log.levels.ERROR)
  elseif action ~= 'create' and session == '' then
    return failure.say(('say which session to %s'):format(action), vim.log.levels.ERROR)
  end
  act(scope.current(), action, session ~= '' and session or nil)
end

function M.complete(words)
  if #words == 0 then
    return ACTIONS
  end
  return #words == 1 and words[1] ~= 'create' and known.names(scope.current(), 'sessions') or {}
end

return M
