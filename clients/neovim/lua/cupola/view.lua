--- Scratch buffers: one window per purpose, text that grows at its end, keys, and what is to end with the buffer.
local harmless = require('cupola.harmless')
local settings = require('cupola.settings')

local M = {}

---@class cupola.ViewOptions
---@field name string The buffer's name, after `cupola://`.
---@field filetype string
---@field keys? table<string, {[1]: fun(), [2]: string}> What each key of normal mode does, and in words.
---@field on_unload? fun() Called once, when the buffer's text is dropped.

---@param name string
---@return string
local function full_name(name)
  return 'cupola://' .. harmless.line(name)
end

---@param name string
---@return integer?
function M.find(name)
  local full = full_name(name)
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(buffer) and vim.api.nvim_buf_get_name(buffer) == full then
      return buffer
    end
  end
end

--- Shows a buffer in a window that has it, else in a new one, and goes there.
---@param buffer integer
function M.show(buffer)
  local window = vim.fn.bufwinid(buffer)
  if window ~= -1 then
    vim.api.nvim_set_current_win(window)
    return
  end
  vim.cmd(settings.get().open)
  vim.api.nvim_win_set_buf(0, buffer)
  vim.wo.wrap, vim.wo.linebreak = true, true
  vim.wo.number, vim.wo.relativenumber = false, false
end

--- Makes a scratch buffer in place of one of the same name, and shows it.
---@param options cupola.ViewOptions
---@return integer buffer
function M.open(options)
  local old = M.find(options.name)
  if old then
    M.show(old)
  end
  -- A scratch buffer has no modelines: no text of an agent sets options.
  local buffer = vim.api.nvim_create_buf(false, true)
  if old then
    vim.api.nvim_win_set_buf(0, buffer)
    pcall(vim.api.nvim_buf_delete, old, { force = true })
  end
  vim.api.nvim_buf_set_name(buffer, full_name(options.name))
  vim.bo[buffer].buftype = 'nofile'
  vim.bo[buffer].bufhidden = 'hide'
  vim.bo[buffer].swapfile = false
  if options.on_unload then
    vim.api.nvim_create_autocmd('BufUnload', { buffer = buffer, once = true, callback = options.on_unload })
  end
  M.show(buffer)
  vim.bo[buffer].filetype = options.filetype
  M.keys(buffer, options.keys or {})
  return buffer
end

---@param buffer integer
---@param keys table<string, {[1]: fun(), [2]: string}>
function M.keys(buffer, keys)
  for key, what in pairs(keys) do
    vim.keymap.set('n', key, what[1], { buffer = buffer, nowait = true, silent = true, desc = what[2] })
  end
  local help = {}
  for key, what in pairs(keys) do
    table.insert(help, ('%-5s %s'):format(key, what[2]))
  end
  table.sort(help)
  vim.keymap.set('n', 'g?', function()
    vim.api.nvim_echo({ { table.concat(help, '\n') } }, false, {})
  end, { buffer = buffer, nowait = true, desc = 'Show these keys' })
end

--- Changes a buffer that its user may not change.
---@param buffer integer
---@param change fun()
function M.edit(buffer, change)
  local modifiable = vim.bo[buffer].modifiable
  vim.bo[buffer].modifiable = true
  change()
  vim.bo[buffer].modifiable = modifiable
  vim.bo[buffer].modified = false
end

--- Replaces all lines.
---@param buffer integer
---@param lines string[]
function M.set_lines(buffer, lines)
  M.edit(buffer, function()
    vim.api.nvim_buf_set_lines(buffer, 0, -1, false, vim.tbl_map(harmless.line, lines))
  end)
end

--- The windows that show the buffer's end, and so should keep showing it.
---@param buffer integer
---@return integer[]
function M.followers(buffer)
  local last = vim.api.nvim_buf_line_count(buffer)
  return vim.tbl_filter(function(window)
    return vim.api.nvim_win_get_cursor(window)[1] == last
  end, vim.fn.win_findbuf(buffer))
end

--- Puts the cursor of these windows on the last line.
---@param buffer integer
---@param windows integer[]
function M.follow(buffer, windows)
  local last = vim.api.nvim_buf_line_count(buffer)
  for _, window in ipairs(windows) do
    vim.api.nvim_win_set_cursor(window, { last, 0 })
  end
end

--- A line as it is shown. Tabs are how agents indent.
---@param line string
---@return string
local function shown(line)
  return (harmless.text(line):gsub('\n', ' '))
end

--- Adds lines at the end.
---@param buffer integer
---@param lines string[]
function M.append(buffer, lines)
  local windows = M.followers(buffer)
  M.edit(buffer, function()
    local empty = vim.api.nvim_buf_line_count(buffer) == 1 and vim.api.nvim_buf_get_lines(buffer, 0, 1, false)[1] == ''
    vim.api.nvim_buf_set_lines(buffer, empty and 0 or -1, -1, false, vim.tbl_map(shown, lines))
  end)
  M.follow(buffer, windows)
end

--- Text of the service in lines, as it is shown.
---@param text string
---@return string[]
function M.lines(text)
  return vim.split(harmless.text(text), '\n', { plain = true })
end

return M
