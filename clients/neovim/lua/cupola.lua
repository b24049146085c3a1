--- Cupola for Neovim: Microsoft Foundry hosted agents in the editor. `:help cupola`.
---
--- - `commands`, `commands/*`: `:Cupola`, one module per subcommand
--- - `answers`, `view`: the buffers they show
--- - `transfers`, `remote_file`: files on their way, and one in a buffer
--- - `scope`, `known`, `settings`: which agent, whose state, names for completion, what the user has set
--- - `daemon`, `connection`, `framing`: the line to the daemon
--- - `failure`: errors and how they are shown
--- - `harmless`: text of the service, where it is shown
--- - `health`: `:checkhealth cupola`
local M = {}

--- Sets what `vim.g.cupola` can set too. Not needed: everything has a default.
---@param settings? table
function M.setup(settings)
  require('cupola.settings').give(settings)
  require('cupola.scope').choose(nil)
end

--- Sends text to the agent; the answer is streamed into the answers' buffer.
---@param text string
---@param options? table more parameters of the protocol's `invoke`
---@return cupola.Call?
function M.invoke(text, options)
  return require('cupola.commands.invoke').ask(text, options)
end

--- Calls any method of the daemon in the current scope, without blocking.
---@param method string
---@param params? table beside target and isolation
---@param on_done fun(error?: cupola.Error, result?: any)
---@param on_progress? fun(value: table)
---@return cupola.Call
function M.call(method, params, on_done, on_progress)
  return require('cupola.scope').current().call(method, params, { on_done = on_done, on_progress = on_progress })
end

--- The agent, and which parts of the isolation are set: for a status line. Never a key.
---@return string
function M.status()
  local label = require('cupola.harmless').line(require('cupola.scope').current().label)
  -- A status line may evaluate what is in it.
  return (label:gsub('%%', '%%%%'))
end

return M
