--- A buffer with one line per thing, keys that act on the thing under the cursor, and a first line that says whose they are.
local failure = require('cupola.failure')
local harmless = require('cupola.harmless')
local view = require('cupola.view')

local M = {}

---@class cupola.List
---@field buffer integer
---@field item fun(): table? The thing under the cursor.
---@field show fun(title: string, items: table[], line: fun(item: table): string)
---@field is_there fun(): boolean

--- Lines above the first thing.
local HEADER = 2

---@param name string
---@param keys table<string, {[1]: fun(list: cupola.List), [2]: string}>
---@return cupola.List
function M.open(name, keys)
  local items = {}
  local list = {}
  local bound = { q = { function() vim.cmd('bdelete!') end, 'close' } }
  for key, what in pairs(keys) do
    bound[key] = { function() what[1](list) end, what[2] }
  end
  list.buffer = view.open({ name = name, filetype = 'cupolalist', keys = bound })
  vim.bo[list.buffer].modifiable = false
  vim.wo.cursorline, vim.wo.wrap = true, false
  list.is_there = function()
    return vim.api.nvim_buf_is_loaded(list.buffer)
  end
  list.item = function()
    local item = items[vim.api.nvim_win_get_cursor(0)[1] - HEADER]
    if not item then
      failure.say('there is nothing on this line', vim.log.levels.WARN)
    end
    return item
  end
  list.show = function(title, new_items, line)
    if not list.is_there() then
      return
    end
    items = new_items
    local lines = { title .. '  (g? shows the keys)', '' }
    for _, item in ipairs(items) do
      table.insert(lines, line(item))
    end
    local window = vim.fn.bufwinid(list.buffer)
    local row = window ~= -1 and vim.api.nvim_win_get_cursor(window)[1] or 1
    view.set_lines(list.buffer, lines)
    if window ~= -1 then
      vim.api.nvim_win_set_cursor(window, { math.min(math.max(row, HEADER + 1), #lines), 0 })
    end
  end
  return list
end

--- Asks before something that cannot be undone.
---@param question string
---@param action string
---@param callback fun()
function M.confirm(question, action, callback)
  M.choose(question, { action, 'Keep' }, function(index)
    if index == 1 then
      callback()
    end
  end)
end

--- Asks which of some answers is meant. The callback gets its number, or nil.
---@param question string
---@param choices string[]
---@param callback fun(index?: integer)
function M.choose(question, choices, callback)
  vim.ui.select(choices, { prompt = harmless.line(question) }, function(choice)
    for index, known in ipairs(choices) do
      if choice == known then
        return callback(index)
      end
    end
    callback(nil)
  end)
end

return M
