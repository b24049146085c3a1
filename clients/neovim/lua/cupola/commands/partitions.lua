--- `:Cupola partitions [forget [ID]]`: which session and conversation each isolation continues, as a list with keys, or
--- one action. Forgetting deletes nothing at the service: the next call starts fresh.
local daemon = require('cupola.daemon')
local failure = require('cupola.failure')
local known = require('cupola.known')
local lists = require('cupola.list')
local scope = require('cupola.scope')

local M = { about = 'list and forget what is continued' }

---@param in_scope cupola.Scope
---@param id? string of one partition; what this isolation continues when left out
---@param callback? fun()
local function forget(in_scope, id, callback)
  local handlers = {
    on_done = function(reason, result)
      if reason then
        return failure.show(reason)
      end
      local fresh = 'the next call starts fresh; the session and its files are still at the service'
      failure.say(result.forgotten > 0 and fresh or 'nothing was saved')
      if callback then
        callback()
      end
    end,
  }
  if id then
    daemon.shared:call('partitions/forget', { id = id }, handlers)
  else
    in_scope.look('partitions/forget', {}, handlers)
  end
end

---@param partition table
---@return string
local function line(partition)
  local version = partition.version and ' v' .. partition.version or ''
  local changed = (partition.updatedAt or ''):sub(1, 16):gsub('T', ' ')
  return ('%s %s  %-16s  %s  %s%s'):format(
    partition.own and '*' or ' ', partition.id, changed, partition.sessionId or 'no session', partition.agent, version)
end

---@param in_scope cupola.Scope
function M.open(in_scope)
  local list
  local function refresh()
    in_scope.call('partitions/list', {}, {
      on_done = function(reason, result)
        if reason then
          return failure.show(reason)
        end
        known.learn(in_scope, 'partitions', result)
        list.show('* is continued by ' .. in_scope.label .. ', times in UTC', result.partitions, line)
      end,
    })
  end
  list = lists.open('partitions', {
    d = {
      function()
        local partition = list.item()
        if partition then
          lists.confirm(('Forget what %s continues?'):format(partition.id), 'Forget', function()
            forget(in_scope, partition.id, refresh)
          end)
        end
      end,
      'forget it: its next call starts fresh',
    },
    R = { refresh, 'read the list again' },
  })
  refresh()
end

function M.run(arguments)
  local action, id = arguments:match('^(%S*)%s*(%S*)$')
  if action == '' then
    M.open(scope.current())
  elseif action == 'forget' then
    forget(scope.current(), id ~= '' and id or nil)
  else
    failure.say('say nothing, or forget', vim.log.levels.ERROR)
  end
end

function M.complete(words)
  return #words == 0 and { 'forget' } or #words == 1 and known.names(scope.current(), 'partitions') or {}
end

return M
