--- `:Cupola runs [attach|cancel ID]`: answers under way and recently ended, of all clients, as a list with keys or
--- one action. A question asked with `--detach` continues without this editor and is listed here.
local answers = require('cupola.answers')
local failure = require('cupola.failure')
local known = require('cupola.known')
local lists = require('cupola.list')
local scope = require('cupola.scope')

local M = { about = 'list, follow and cancel runs' }

local ACTIONS = { 'attach', 'cancel' }

---@param in_scope cupola.Scope
---@param run string
local function attach(in_scope, run)
  answers.stream(in_scope, 'runs/attach', { runId = run }, run)
end

---@param in_scope cupola.Scope
---@param run string
---@param callback? fun()
local function cancel(in_scope, run, callback)
  in_scope.call('runs/cancel', { runId = run }, {
    on_done = function(reason, result)
      if reason then
        return failure.show(reason)
      end
      failure.say(('%s is %s'):format(run, result.status))
      if callback then
        callback()
      end
    end,
  })
end

---@param run table
---@return string
local function line(run)
  local remark = run.detached and 'detached' or ('%d following'):format(run.clients)
  return ('%-9s  %s  %s  %s'):format(run.status, run.startedAt:sub(1, 19):gsub('T', ' '), run.runId, remark)
end

---@param in_scope cupola.Scope
function M.open(in_scope)
  local list
  local function refresh()
    in_scope.call('runs/list', {}, {
      on_done = function(reason, result)
        if reason then
          return failure.show(reason)
        end
        known.learn(in_scope, 'runs', result)
        list.show('Runs of ' .. in_scope.label .. ', times in UTC', result.runs, line)
      end,
    })
  end
  local function on_item(callback)
    return function()
      local run = list.item()
      if run then
        callback(run.runId)
      end
    end
  end
  list = lists.open('runs', {
    ['<CR>'] = { on_item(function(run) attach(in_scope, run) end), 'show its answer, and follow it' },
    x = { on_item(function(run) cancel(in_scope, run, refresh) end), 'cancel it' },
    R = { refresh, 'read the list again' },
  })
  refresh()
end

function M.run(arguments)
  local action, run = arguments:match('^(%S*)%s*(%S*)$')
  if action == '' then
    M.open(scope.current())
  elseif not vim.tbl_contains(ACTIONS, action) then
    failure.say('say nothing, or one of: ' .. table.concat(ACTIONS, ', '), vim.log.levels.ERROR)
  elseif run == '' then
    failure.say(('say which run to %s'):format(action), vim.log.levels.ERROR)
  elseif action == 'attach' then
    attach(scope.current(), run)
  else
    cancel(scope.current(), run)
  end
end

function M.complete(words)
  return #words == 0 and ACTIONS or #words == 1 and known.names(scope.current(), 'runs') or {}
end

return M
