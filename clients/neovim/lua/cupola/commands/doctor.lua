--- `:Cupola doctor`: what stands in the way to the agent, if anything does, and what to do about it.
local failure = require('cupola.failure')
local lists = require('cupola.list')
local scope = require('cupola.scope')

local M = { about = 'look at the whole way to the agent' }

--- The column that hints stand in: that of the messages.
local HINT = (' '):rep(21)

--- One line per check, and one below it for its hint.
---@param checks table[]
---@return string[]
local function lines_of(checks)
  local lines = {}
  for _, check in ipairs(checks) do
    table.insert(lines, ('%-8s %-11s %s'):format(check.status == 'skipped' and '-' or check.status, check.name, check.message))
    if check.hint then
      table.insert(lines, HINT .. check.hint)
    end
  end
  return lines
end

function M.run()
  local in_scope = scope.current()
  local list
  local function refresh()
    in_scope.look('daemon/doctor', {}, {
      on_done = function(reason, result)
        if reason then
          return failure.show(reason)
        end
        list.show('On the way to ' .. in_scope.label, lines_of(result.checks), function(line) return line end)
      end,
    })
  end
  list = lists.open('doctor', { R = { refresh, 'look again' } })
  refresh()
end

return M
