--- `:checkhealth cupola`: the editor, the program, and what the daemon finds on the way to the agent. The
--- only code here that waits.
local failure = require('cupola.failure')
local harmless = require('cupola.harmless')
local scope = require('cupola.scope')
local settings = require('cupola.settings')

local M = {}

--- How long the daemon may take to start and answer, in ms.
local PATIENCE = 15000

-- Neovim 0.10 renamed these; before 0.8 they were in another module.
local health = vim.health or require('health')
local start = health.start or health.report_start

--- Reports a finding, which may have words of the service in it.
---@param report fun(message: string, advice?: string[])
---@return fun(message: string, advice?: string[])
local function harmlessly(report)
  return function(message, advice)
    report(harmless.line(message), advice and vim.tbl_map(harmless.line, advice))
  end
end

local ok = harmlessly(health.ok or health.report_ok)
local info = harmlessly(health.info or health.report_info)
local warn = harmlessly(health.warn or health.report_warn)
local fail = harmlessly(health.error or health.report_error)

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

--- What the daemon finds on the way to the agent.
---@return cupola.Error?, table[]?
local function examined()
  local done, reason, result = false, nil, nil
  local call = scope.current().look('daemon/doctor', {}, {
    on_done = function(...)
      done, reason, result = true, ...
    end,
  })
  if not vim.wait(PATIENCE, function() return done end, 10) then
    call.cancel()
    return failure.new('timedOut', ('the daemon did not answer within %d s'):format(PATIENCE / 1000))
  end
  return reason, result and result.checks
end

local REPORTERS = { ok = ok, warning = warn, error = fail, skipped = info }

local function check_way()
  ok('calls go to ' .. scope.current().label)
  local reason, checks = examined()
  if reason then
    return fail(reason.message, reason.data and reason.data.hint and { reason.data.hint } or nil)
  end
  for _, check in ipairs(checks) do
    local report = REPORTERS[check.status] or info
    report(('%s: %s'):format(check.name, check.message), check.hint and { check.hint } or nil)
  end
end

function M.check()
  start('cupola')
  check_editor()
  if check_program() then
    check_way()
  end
end

return M
