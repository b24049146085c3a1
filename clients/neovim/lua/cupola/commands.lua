--- `:Cupola SUBCOMMAND …`: the table of subcommands, and the completion of their names.
---
--- A subcommand is a module with `run(arguments, command)`, `about` and, where there is something to complete,
--- `complete(words, word)`: the words before the one being completed, and that one. Neither may wait for anything.
local failure = require('cupola.failure')

local M = {}

--- Each is the module `cupola.commands.NAME`.
M.NAMES = {
  'auth', 'cancel', 'doctor', 'files', 'invoke', 'isolation', 'monitor', 'partitions', 'runs', 'sessions', 'status', 'target',
}

---@param candidates string[]
---@param word string
---@return string[]
local function beginning_with(candidates, word)
  return vim.tbl_filter(function(candidate)
    return vim.startswith(candidate, word)
  end, candidates)
end

--- Runs the command that `nvim_create_user_command` describes.
---@param command table
function M.run(command)
  local name, arguments = command.args:match('^(%S*)%s*(.*)$')
  if not vim.tbl_contains(M.NAMES, name) then
    local said = name == '' and 'say what to do' or ('there is no :Cupola %s'):format(name)
    return failure.say(('%s; one of: %s'):format(said, table.concat(M.NAMES, ', ')), vim.log.levels.ERROR)
  end
  require('cupola.commands.' .. name).run(arguments, command)
end

--- Completes the command line from what is known already.
---@param word string
---@param line string
---@param column integer
---@return string[]
function M.complete(word, line, column)
  local before = line:sub(1, column - #word):match('Cupola!?%s+(.*)$') or line:sub(1, column - #word):match('^%S+%s+(.*)$') or ''
  local words = vim.split(before, '%s+', { trimempty = true })
  local name = table.remove(words, 1)
  if not name then
    return beginning_with(M.NAMES, word)
  end
  if not vim.tbl_contains(M.NAMES, name) then
    return {}
  end
  local complete = require('cupola.commands.' .. name).complete
  return complete and beginning_with(complete(words, word), word) or {}
end

return M
