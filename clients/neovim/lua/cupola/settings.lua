--- What the user has set: `vim.g.cupola`, and `require('cupola').setup` before it. Read when needed, never kept.
local M = {}

---@class cupola.Settings
---@field command string[] The `cupola` program and arguments that go before all others.
---@field socket? string The daemon's socket, where it is not in its usual place.
---@field target? table|fun(): table Which agent, as the protocol writes it; the environment decides when left out.
---@field isolation? table|fun(): table Whose state, as the protocol writes it.
---@field bind? boolean Bind connections to target and isolation, so that they reach nothing else.
---@field open string The command that opens a window for answers, lists and logs.
local DEFAULTS = {
  command = { 'cupola' },
  open = 'botright split',
}

---@type table<string, any>
local given = {}

---@param settings? table
function M.give(settings)
  given = settings or {}
end

---@return cupola.Settings
function M.get()
  return vim.tbl_extend('force', DEFAULTS, vim.g.cupola or {}, given)
end

return M
