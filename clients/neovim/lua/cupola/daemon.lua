--- Lines to the daemon: found or started at the first call, and again after it was lost. All of the plugin shares one,
--- unless the setting `bind` gives each scope its own, which then reaches nothing else.
---
--- `cupola socket` starts a daemon when none answers and prints where it listens, so that rule is written nowhere here.
local connection = require('cupola.connection')
local failure = require('cupola.failure')
local settings = require('cupola.settings')

local M = {}

--- The protocol majors this plugin speaks.
local PROTOCOL_VERSIONS = { 1 }

--- How long a daemon may take to answer `initialize`, in ms: it takes milliseconds, unless it is suspended or broken.
M.INTRODUCTION_LIMIT = 20 * 1000

---@class cupola.Line
---@field private bind? table What its connections are bound to: a target and an isolation.
---@field private current? cupola.Connection
---@field private waiting? (fun(error?: cupola.Error, connection?: cupola.Connection))[] What wants the one being made.
---@field private is_retired boolean Its connections close when nothing is under way on them.
---@field introduction? table What the daemon said of itself when the connection was made.
local Line = {}
Line.__index = Line

--- A line that connects when it is first used.
---@param bind? {target: table, isolation: table}
---@return cupola.Line
function M.line(bind)
  return setmetatable({ bind = bind, is_retired = false }, Line)
end

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

---@private
---@param opened cupola.Connection
---@param callback fun(error?: cupola.Error, connection?: cupola.Connection)
function Line:introduce(opened, callback)
  local version = vim.version()
  local params = {
    clientInfo = { name = 'neovim', version = ('%d.%d.%d'):format(version.major, version.minor, version.patch) },
    protocolVersions = PROTOCOL_VERSIONS,
    bind = self.bind,
  }
  local answered = false
  vim.defer_fn(function()
    if not answered then
      opened:close('the daemon accepted the connection but does not answer; it may be suspended: `cupola status` names its process and says what helps')
    end
  end, M.INTRODUCTION_LIMIT)
  opened:call('initialize', params, {
    on_done = function(reason, result)
      answered = true
      self.introduction = result
      if reason then
        opened:close(reason.message)
      end
      callback(reason, not reason and opened or nil)
    end,
  })
end

--- Gives the connection, made first if need be. Parallel first calls make one.
---@private
---@param callback fun(error?: cupola.Error, connection?: cupola.Connection)
function Line:connect(callback)
  if self:is_open() then
    return callback(nil, self.current)
  end
  if self.waiting then
    table.insert(self.waiting, callback)
    return
  end
  self.waiting = { callback }
  local function settle(reason, opened)
    local callbacks = self.waiting or {}
    self.waiting, self.current = nil, opened
    for _, each in ipairs(callbacks) do
      each(reason, opened)
    end
    if self.is_retired and opened then
      opened:close_when_idle()
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
      self:introduce(opened, settle)
    end)
  end)
end

---@return boolean
function Line:is_open()
  return self.current ~= nil and not self.current.closed
end

---@class cupola.Call
---@field cancel fun() Ends the call. Its `on_done` is still called.

--- Calls a method of the daemon.
---@param method string
---@param params table
---@param handlers cupola.Handlers
---@return cupola.Call
function Line:call(method, params, handlers)
  local cancelled, on, id = false, nil, nil
  self:connect(function(reason, opened)
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

--- Closes the connection. The daemon keeps running; the next call opens another connection.
function Line:close()
  if self.current then
    self.current:close('it was ended here')
  end
end

--- Sends new calls over another connection: calls in progress finish, and then this connection is closed.
function Line:retire()
  self.is_retired = true
  if self:is_open() then
    self.current:close_when_idle()
  end
end

--- The line that is bound to nothing.
M.shared = M.line()

return M
