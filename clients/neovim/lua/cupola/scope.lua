--- Which agent calls go to, and whose state they see. A scope never changes: choosing another target or isolation makes
--- another scope, and what was begun or listed in the old one continues in the old one.
---
--- Isolation keys live in closures alone, so that printing a scope cannot show them.
local daemon = require('cupola.daemon')
local settings = require('cupola.settings')

local M = {}

---@class cupola.Scope
---@field target table Which agent, as the protocol writes it.
---@field call fun(method: string, params: table, handlers: cupola.Handlers): cupola.Call Calls a method of the daemon in this scope.
---@field transfer fun(method: string, params: table, handlers: cupola.Handlers): cupola.Call The same for `files/upload` and `files/download`, which a bound line may not call: there on its own line, bound to the directory of `localPath` too.
---@field look fun(method: string, params: table, handlers: cupola.Handlers): cupola.Call The same on the line that is bound to nothing: for calls that a bound line may not make.
---@field retire fun() Says that new calls are made in another scope.
---@field with fun(change: table): cupola.Scope The scope with another `target` or `isolation`.
---@field label string For people: the agent, and which parts of the isolation are set.
---@field known table<cupola.Names, string[]> Names seen recently, for completion.

--- The fields of an isolation, and what to call them. The short names are those of `:Cupola isolation`.
M.FIELDS = {
  { short = 'user', field = 'userKey', label = 'user key', secret = true },
  { short = 'chat', field = 'chatKey', label = 'chat key', secret = true },
  { short = 'owner', field = 'ownershipKey', label = 'ownership key', secret = true },
  { short = 'identity', field = 'userIdentity', label = 'user identity', secret = true },
  { short = 'label', field = 'chat', label = 'chat label', secret = false },
  { short = 'model', field = 'model', label = 'model', secret = false },
}

--- The variables that the command line reads too.
local VARIABLES = {
  userKey = 'CUPOLA_USER_ISOLATION_KEY',
  chatKey = 'CUPOLA_CHAT_ISOLATION_KEY',
  userIdentity = 'CUPOLA_USER_IDENTITY',
}

---@param target table
---@return string
local function target_label(target)
  local places = {
    emulator = target.url and ('emulator at ' .. target.url) or 'emulator',
    project = target.endpoint and target.endpoint:match('[^/]+/?$'),
    local_agent = target.port and ('port %d'):format(target.port),
    agentEndpoint = target.url,
    directory = target.path,
  }
  local place = places[target.kind == 'local' and 'local_agent' or target.kind] or target.kind
  local agent = target.agent or (target.kind == 'emulator' and 'notes' or nil)
  return agent and ('%s (%s)'):format(agent, place) or tostring(place)
end

---@param isolation table
---@return string
local function isolation_label(isolation)
  local parts = {}
  for _, part in ipairs(M.FIELDS) do
    local value = isolation[part.field]
    if value then
      table.insert(parts, part.secret and (part.label .. ' set') or ('%s %s'):format(part.label, value))
    end
  end
  return #parts > 0 and table.concat(parts, ', ') or 'no isolation'
end

--- What a method takes besides its own parameters, where that is less than the agent and the isolation. The daemon refuses what a
--- method does not take.
---@type table<string, string[]>
local TAKES = {
  ['agents/list'] = { 'target' },
  ['agents/show'] = { 'target' },
  ['auth/clear'] = {},
  ['auth/status'] = {},
  ['daemon/status'] = {},
  ['runs/attach'] = {},
  ['runs/cancel'] = {},
  ['runs/show'] = {},
}

---@param method string
---@param place table
---@param params table
---@return table
local function arguments_of(method, place, params)
  local taken = {}
  for _, name in ipairs(TAKES[method] or { 'target', 'isolation' }) do
    taken[name] = place[name]
  end
  local arguments = vim.tbl_extend('error', taken, params)
  return next(arguments) and arguments or vim.empty_dict()
end

---@param target table
---@param isolation table
---@return cupola.Scope
local function new(target, isolation)
  local place = { target = target, isolation = next(isolation) and isolation or vim.empty_dict() }
  local bound = settings.get().bind and daemon.line(place)
  return {
    target = target,
    label = ('%s, %s'):format(target_label(target), isolation_label(isolation)),
    known = { sessions = {}, files = {}, runs = {}, agents = {}, partitions = {} },
    call = function(method, params, handlers)
      return (bound or daemon.shared):call(method, arguments_of(method, place, params), handlers)
    end,
    transfer = function(method, params, handlers)
      local arguments = vim.tbl_extend('error', place, params)
      if not bound then
        return daemon.shared:call(method, arguments, handlers)
      end
      -- On a bound line no link is followed, so the path is written without any.
      local name = vim.fn.fnamemodify(params.localPath, ':t')
      local directory = vim.fn.resolve(vim.fn.fnamemodify(params.localPath, ':h'))
      local real = vim.fn.resolve(directory .. '/' .. name)
      directory = vim.fn.fnamemodify(real, ':h')
      local line = daemon.line(vim.tbl_extend('error', place, { methods = { method }, files = directory }))
      local call = line:call(method, vim.tbl_extend('force', arguments, { localPath = real }), handlers)
      line:retire()
      return call
    end,
    look = function(method, params, handlers)
      return daemon.shared:call(method, arguments_of(method, place, params), handlers)
    end,
    retire = function()
      if bound then
        bound:retire()
      end
    end,
    with = function(change)
      return new(change.target or target, change.isolation or isolation)
    end,
  }
end

---@param setting any
local function value(setting)
  if type(setting) == 'function' then
    return setting()
  end
  return setting
end

--- What the environment says, as the command line reads it.
---@return table
local function environment_target()
  local env = vim.env
  local emulator = env.CUPOLA_EMULATOR
  if emulator and emulator ~= '0' then
    return { kind = 'emulator', url = emulator ~= '1' and emulator or nil, agent = env.CUPOLA_AGENT }
  end
  return {
    kind = 'directory',
    path = vim.fn.getcwd(),
    agent = env.CUPOLA_AGENT,
    environment = env.AZURE_ENV_NAME,
    fallbackEndpoint = env.FOUNDRY_PROJECT_ENDPOINT,
    azdConfigDirectory = env.AZD_CONFIG_DIR or (env.HOME and env.HOME .. '/.azd'),
  }
end

---@return table
local function environment_isolation()
  local isolation = {}
  for field, variable in pairs(VARIABLES) do
    isolation[field] = vim.env[variable]
  end
  return isolation
end

---@type cupola.Scope?
local chosen
--- What settings and environment say, and the directory they said it in: an azd project is found from there.
---@type cupola.Scope?, string?
local found, found_in

--- The scope that new calls are made in.
---@return cupola.Scope
function M.current()
  if chosen then
    return chosen
  end
  local directory = vim.fn.getcwd()
  if not found or found_in ~= directory then
    local options = settings.get()
    if found then
      found.retire()
    end
    found = new(value(options.target) or environment_target(), value(options.isolation) or environment_isolation())
    found_in = directory
  end
  return found
end

--- Makes calls in this scope from now on; nil means in the one that settings and environment say.
---@param scope? cupola.Scope
function M.choose(scope)
  local before = chosen or found
  if before then
    before.retire()
  end
  chosen, found = scope, nil
end

return M
