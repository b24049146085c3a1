--- Failures: the shape of JSON-RPC's error object, whether the daemon or this plugin made it, and how it is shown.
local harmless = require('cupola.harmless')

local M = {}

---@class cupola.ErrorData
---@field kind string What went wrong, in one word.
---@field retryable boolean Can the same call succeed later? A turn only if it did not run.
---@field turn? 'notRun'|'mayHaveRun'|'ran' Whether the turn ran, if the call sent one.
---@field hint? string What to do next.

---@class cupola.Error
---@field code integer
---@field message string What happened.
---@field data? cupola.ErrorData

--- Codes that a client gives itself: LSP's for a cancelled call, and JSON-RPC's for what has no better one.
local CANCELLED, INTERNAL = -32800, -32603

---@param kind string
---@param message string
---@param hint? string
---@return cupola.Error
function M.new(kind, message, hint)
  local code = kind == 'cancelled' and CANCELLED or INTERNAL
  local retryable = kind == 'connectionLost'
  return { code = code, message = message, data = { kind = kind, retryable = retryable, hint = hint } }
end

local LOOK = 'the turn may have run; look before you send it again: :Cupola runs has the run if the daemon is still there, '
  .. ':Cupola monitor shows what the agent did'

--- The connection ended before a call was answered.
---@param method string
---@param was_sent boolean
---@param message string
---@return cupola.Error
function M.lost(method, was_sent, message)
  local hint = 'try again: the next call connects again and starts the daemon if none runs'
  local lost = M.new('connectionLost', message, hint)
  if method == 'invoke' then
    lost.data.turn = was_sent and 'mayHaveRun' or 'notRun'
    if was_sent then
      lost.data.retryable, lost.data.hint = false, LOOK
    end
  end
  return lost
end

---@return cupola.Error
function M.cancelled()
  return M.new('cancelled', 'the call was cancelled')
end

---@param failure cupola.Error
---@return boolean
function M.is_cancelled(failure)
  return failure.code == CANCELLED
end

--- One or two lines: what happened, and what to do next.
---@param failure cupola.Error
---@return string
function M.text(failure)
  local hint = failure.data and failure.data.hint
  -- Indented, so that no line of the message passes for the hint.
  local message = failure.message:gsub('\n', '\n  ')
  return hint and (message .. '\nhint: ' .. hint) or message
end

--- Shows a failure as the editor's user wants notifications shown.
---@param failure cupola.Error
function M.show(failure)
  local level = M.is_cancelled(failure) and vim.log.levels.INFO or vim.log.levels.ERROR
  M.say(M.text(failure), level)
end

---@param text string
---@param level? integer one of `vim.log.levels`
function M.say(text, level)
  vim.notify('cupola: ' .. harmless.text(text), level or vim.log.levels.INFO, { title = 'Cupola' })
end

return M
