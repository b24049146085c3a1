--- `:checkhealth cupola`: the editor, the program, the daemon, and what calls go to. The only code here that waits.
local failure = require('cupola.failure')
local scope = require('cupola.scope')
local settings = require('cupola.settings')

local M = {}

--- How long the daemon may take to start and answer, in ms.
local PATIENCE = 15000

-- Neovim 0.10 renamed these; before 0.8 they were in a module of their own.
local health = vim.health or require('health')
local start = health.start or health.report_start
local ok = health.ok or health.report_ok
local warn = health.warn or health.report_warn
local fail = health.error or health.report_error

local function check_editor()
  if vim.fn.has('nvim-0.7') == 1 then
    ok(('Neovim %s.%s.%s'):format(vim.version().major, vim.version().minor, vim.version().patch))
  else
    fail('Neovim is older than 0.7', { 'install a newer one' })
  end
end

---@return boolean
local function check_program()
  local program = settings.get().command[1]
  if vim.fn.executable(program) == 1 then
    ok(('program: %s'):format(vim.fn.exepath(program)))
    return true
  end
  fail(('%s is not executable'):format(program), {
    'install cupola and put it on PATH',
    "or name it: let g:cupola = {'command': ['/path/to/cupola']}",
  })
  return false
end

---@param method string
---@param params table
---@return cupola.Error?, any
local function wait_for(method, params)
  local done, reason, result = false, nil, nil
  scope.current().call(method, params, {
    on_done = function(...)
      done, reason, result = true, ...
    end,
  })
  if not vim.wait(PATIENCE, function() return done end, 10) then
    reason = failure.new('timedOut', ('%s was not answered within %d s'):format(method, PATIENCE / 1000))
  end
  return reason, result
end

---@param reason cupola.Error
local function report(reason)
  fail(reason.message, reason.data and reason.data.hint and { reason.data.hint } or nil)
end

---@return boolean
local function check_daemon()
  local reason, status = wait_for('daemon/status', {})
  if reason then
    report(reason)
    return false
  end
  ok(('daemon %s, process %d, at %s'):format(status.version, status.processId, status.socket or 'its socket'))
  return true
end

local function check_scope()
  local current = scope.current()
  local reason, shown = wait_for('agents/show', {})
  if reason then
    return report(reason)
  end
  ok('calls go to ' .. current.label)
  if shown.isolationModel then
    ok(('the agent isolates its users by %s; it speaks %s'):format(shown.isolationModel, table.concat(shown.protocols, ', ')))
  else
    warn('the agent does not say how it isolates its users')
  end
end

function M.check()
  start('cupola')
  check_editor()
  if check_program() and check_daemon() then
    check_scope()
  end
end

return M
