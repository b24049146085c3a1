--- The line to the daemon that all of the plugin shares: found or started at the first call, and again after it was lost.
---
--- `cupola socket` starts a daemon when none answers and prints where it listens, so that rule is written nowhere here.
local connection = require('cupola.connection')
local failure = require('cupola.failure')
local settings = require('cupola.settings')

local M = {}

--- The protocol majors this plugin speaks.
local PROTOCOL_VERSIONS = { 1 }

---@type cupola.Connection?
local current
--- What wants the connection that is being made; nil when none is.
---@type (fun(error?: cupola.Error, connection?: cupola.Connection))[]?
local waiting
--- What the daemon said of itself.
---@type table?
local introduction

--- Asks the program for the socket's path.
---@param callback fun(error?: cupola.Error, path?: string)
local function find(callback)
  local options = settings.get()
  local command = vim.list_extend(vim.deepcopy(options.command), { 'socket' })
  if options.socket then
    vim.list_extend(command, { '--socket', options.socket })
  end
  local output, errors = {}, {}
  local hint = 'install cupola, or name it in vim.g.cupola.command; :checkhealth cupola looks at all of it'
  local started, reason = pcall(vim.fn.jobstart, command, {
    stdout_buffered = true,
    stderr_buffered = true,
    on_stdout = function(_, lines)
      output = lines
    end,
    on_stderr = function(_, lines)
      errors = lines
    end,
    on_exit = function(_, code)
      if code == 0 and output[1] and output[1] ~= '' then
        return callback(nil, output[1])
      end
      local said = vim.trim(table.concat(errors, '\n')):gsub('^error: ', '')
      callback(failure.new('daemonUnavailable', said ~= '' and said or ('%s ended with %d'):format(command[1], code)))
    end,
  })
  if not started or reason <= 0 then
    -- Later, as every other answer: a call's ending never comes before the call has returned.
    vim.schedule(function()
      callback(failure.new('daemonUnavailable', ('%s does not start'):format(command[1]), hint))
    end)
  end
end

---@param opened cupola.Connection
---@param callback fun(error?: cupola.Error, connection?: cupola.Connection)
local function introduce(opened, callback)
  local version = vim.version()
  local params = {
    clientInfo = { name = 'neovim', version = ('%d.%d.%d'):format(version.major, version.minor, version.patch) },
    protocolVersions = PROTOCOL_VERSIONS,
  }
  opened:call('initialize', params, {
    on_done = function(reason, result)
      introduction = result
      callback(reason, not reason and opened or nil)
    end,
  })
end

--- Gives the shared connection, made first if need be. Parallel first calls make one.
---@param callback fun(error?: cupola.Error, connection?: cupola.Connection)
function M.connect(callback)
  if current and not current.closed then
    return callback(nil, current)
  end
  if waiting then
    table.insert(waiting, callback)
    return
  end
  waiting = { callback }
  local function settle(reason, opened)
    local callbacks = waiting or {}
    waiting, current = nil, opened
    for _, each in ipairs(callbacks) do
      each(reason, opened)
    end
  end
  find(function(no_path, path)
    if not path then
      return settle(no_path)
    end
    connection.open(path, function(not_open, opened)
      if not opened then
        return settle(not_open)
      end
      introduce(opened, settle)
    end)
  end)
end

---@class cupola.Call
---@field cancel fun() Ends the call. Its `on_done` is called all the same.

--- Calls a method of the daemon.
---@param method string
---@param params table
---@param handlers cupola.Handlers
---@return cupola.Call
function M.call(method, params, handlers)
  local cancelled, on, id = false, nil, nil
  M.connect(function(reason, opened)
    if cancelled then
      handlers.on_done(failure.cancelled())
    elseif not opened then
      handlers.on_done(reason)
    else
      on, id = opened, opened:call(method, params, handlers)
    end
  end)
  return {
    cancel = function()
      cancelled = true
      if on then
        on:cancel(id)
      end
    end,
  }
end

--- What the daemon said of itself when the line was made; nil while there is none.
---@return table?
function M.introduction()
  return current and not current.closed and introduction or nil
end

--- Ends the line. The daemon goes on; the next call makes a new line.
function M.disconnect()
  if current then
    current:close('it was ended here')
  end
end

return M
