-- What the tests build on: a separate daemon with its own home, buffers by name, and waiting with a deadline.
local uv = vim.uv or vim.loop

local M = { notifications = {}, uv = uv }

--- Far more than anything here takes, in ms.
local PATIENCE = 40 * 1000

M.binary = assert(vim.env.CUPOLA_BINARY, 'set CUPOLA_BINARY to the cupola program')
M.binary = vim.fn.fnamemodify(M.binary, ':p')

local home

--- A home with nothing in it, named in the variables that the daemon and its clients read.
local function new_home()
  home = vim.fn.tempname()
  assert(uv.fs_mkdir(home, 448)) -- 0700: the socket's directory must be private
  vim.env.HOME = home
  vim.env.CUPOLA_SOCKET = home .. '/v1.sock'
  vim.env.CUPOLA_STATE_DIR = home .. '/state'
  for _, name in ipairs({ 'XDG_RUNTIME_DIR', 'CUPOLA_EMULATOR', 'CUPOLA_AGENT', 'CUPOLA_USER_ISOLATION_KEY' }) do
    vim.env[name] = nil
  end
end

--- Waits until `condition` gives something, which is returned; fails naming `what`, text or what gives it, at the deadline.
function M.wait(what, condition)
  local value
  local came = vim.wait(PATIENCE, function()
    value = condition()
    return value and true or false
  end, 5)
  if not came then
    error('did not happen: ' .. (type(what) == 'function' and what() or what), 2)
  end
  return value
end

--- Before each test: defaults, the emulator, no windows and buffers of other tests.
function M.begin()
  if not home then
    new_home()
  end
  vim.cmd('silent! only! | silent! %bwipeout!')
  M.notifications = {}
  vim.notify = function(text, level)
    table.insert(M.notifications, { text = text, level = level })
  end
  vim.g.cupola = { command = { M.binary }, target = { kind = 'emulator' } }
  require('cupola').setup()
  if not vim.g.loaded_cupola then
    vim.cmd('runtime plugin/cupola.lua')
  end
end

--- After each test: nothing is left running that would reach into the next one.
function M.finish()
  vim.cmd('silent! %bwipeout!')
  require('cupola.daemon').shared:close()
end

--- Another user for this test, so that no session of another test is in the way.
function M.as_user(name)
  vim.cmd('Cupola isolation user=' .. name)
end

--- Waits until the daemon has no run under way that was asked this.
---@param question string
function M.wait_for_end(question)
  M.wait('the end of the run ' .. question, function()
    for _, run in ipairs(M.call('runs/list').runs) do
      if run.question == question and run.status == 'running' then
        return false
      end
    end
    return true
  end)
end

function M.stop_daemon()
  if home and uv.fs_stat(vim.env.CUPOLA_SOCKET) then
    vim.fn.system({ M.binary, 'stop', '--force' })
  end
end

--- A daemon that knows nothing yet, at the next call.
function M.fresh_home()
  M.stop_daemon()
  new_home()
end

--- The daemon's process id.
function M.daemon_id()
  return M.call('daemon/status').processId
end

--- A call's result, waited for.
function M.call(method, params)
  local done, reason, result
  require('cupola.daemon').shared:call(method, params or {}, {
    on_done = function(...)
      done, reason, result = true, ...
    end,
  })
  M.wait(method .. ' is answered', function() return done end)
  assert(not reason, reason and reason.message)
  return result
end

--- The buffer whose name begins with `cupola://NAME`.
function M.buffer(name)
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(buffer) and vim.startswith(vim.api.nvim_buf_get_name(buffer), 'cupola://' .. name) then
      return buffer
    end
  end
end

--- All text of that buffer; empty while there is none.
function M.text(name)
  local buffer = M.buffer(name)
  return buffer and table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n') or ''
end

--- Waits until that buffer has `part`, and gives all its text.
function M.wait_for_text(name, part)
  local function what()
    return ('%q in %s, which has:\n%s'):format(part, name, M.text(name))
  end
  return M.wait(what, function()
    local text = M.text(name)
    return text:find(part, 1, true) and text
  end)
end

--- Waits for a notification with `part` in it.
function M.wait_for_notification(part)
  return M.wait('the notification ' .. part, function()
    for _, notification in ipairs(M.notifications) do
      if notification.text:find(part, 1, true) then
        return notification
      end
    end
  end)
end

--- Types keys as a user does, in the window of that buffer, on the line that has `line`.
function M.press(name, keys, line)
  local buffer = assert(M.buffer(name), name)
  vim.api.nvim_set_current_win(vim.fn.bufwinid(buffer))
  if line then
    for number, text in ipairs(vim.api.nvim_buf_get_lines(buffer, 0, -1, false)) do
      if text:find(line, 1, true) then
        vim.api.nvim_win_set_cursor(0, { number, 0 })
      end
    end
  end
  vim.cmd('normal ' .. vim.api.nvim_replace_termcodes(keys, true, true, true))
end

function M.equal(got, expected, what)
  if not vim.deep_equal(got, expected) then
    error(('%s: got %s, expected %s'):format(what or 'values differ', vim.inspect(got), vim.inspect(expected)), 2)
  end
end

function M.has(text, part)
  assert(text:find(part, 1, true), ('%q is not in %q'):format(part, text))
end

function M.lacks(text, part)
  assert(not text:find(part, 1, true), ('%q is in %q'):format(part, text))
end

--- Answers every question that the editor asks with this choice.
function M.choosing(choice, callback)
  local select = vim.ui.select
  vim.ui.select = function(_, _, on_choice) on_choice(choice) end
  local fine, reason = pcall(callback)
  vim.ui.select = select
  assert(fine, reason)
end

return M
