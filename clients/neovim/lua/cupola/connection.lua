--- One connection to the daemon: JSON-RPC calls, their progress, their cancellation, each with exactly one ending.
---
--- Bytes are read and decoded outside the editor's main loop; callbacks run in it, in the order of arrival, a few
--- milliseconds' worth at a time, so that keys typed meanwhile are not kept waiting.
local failure = require('cupola.failure')
local framing = require('cupola.framing')
local uv = vim.uv or vim.loop

local M = {}

--- How long callbacks may run before the editor gets its turn, in ns: a third of a frame at 60 Hz.
local SLICE = 5 * 1000 * 1000
--- Pause before the next slice, in ms; a timer, because scheduled callbacks run before typed keys are looked at.
local PAUSE = 1

---@class cupola.Handlers
---@field on_progress? fun(value: table) Called for each event; asking for it makes the daemon stream.
---@field on_done fun(error?: cupola.Error, result?: any) Called once, last.

---@class cupola.Connection
---@field private pipe userdata
---@field private pending table<integer, cupola.Handlers>
---@field private methods table<integer, string> what each of those calls
---@field private last_id integer
---@field private inbox table[]
---@field private busy boolean
---@field private is_leaving? boolean
---@field closed boolean
---@field on_close? fun()
local Connection = {}
Connection.__index = Connection

--- Connects to the socket at `path`.
---@param path string
---@param callback fun(error?: cupola.Error, connection?: cupola.Connection)
function M.open(path, callback)
  local pipe = assert(uv.new_pipe(false))
  local self = setmetatable({
    pipe = pipe,
    pending = {},
    methods = {},
    last_id = 0,
    inbox = {},
    busy = false,
    closed = false,
  }, Connection)
  pipe:connect(path, function(reason)
    vim.schedule(function()
      if reason then
        pipe:close()
        callback(failure.new('connectionLost', ('nothing answers at %s (%s)'):format(path, reason)))
      else
        self:read()
        callback(nil, self)
      end
    end)
  end)
end

---@private
function Connection:read()
  local decode = framing.decoder()
  self.pipe:read_start(function(broken, chunk)
    if self.closed then
      return
    end
    if not chunk then
      return self:receive({ { lost = broken or 'the daemon closed the connection' } })
    end
    local messages, reason = decode(chunk)
    if reason then
      table.insert(messages, { lost = reason })
    end
    self:receive(messages)
  end)
end

--- Runs in a callback of libuv: may not touch the editor.
---@private
function Connection:receive(messages)
  vim.list_extend(self.inbox, messages)
  if not self.busy and #messages > 0 then
    self.busy = true
    vim.schedule(function()
      self:work()
    end)
  end
end

---@private
function Connection:work()
  local inbox, deadline = self.inbox, uv.hrtime() + SLICE
  self.inbox = {}
  for index, message in ipairs(inbox) do
    -- A callback that fails is its own problem: the others get their messages.
    local fine, reason = xpcall(self.dispatch, debug.traceback, self, message)
    if not fine then
      failure.say(tostring(reason), vim.log.levels.ERROR)
    end
    if uv.hrtime() > deadline then
      self.inbox = vim.list_extend(vim.list_slice(inbox, index + 1), self.inbox)
      break
    end
  end
  if #self.inbox == 0 then
    self.busy = false
  else
    vim.defer_fn(function()
      self:work()
    end, PAUSE)
  end
end

---@private
function Connection:dispatch(message)
  if message.lost then
    return self:close(message.lost)
  end
  if message.method == '$/progress' then
    local handlers = self.pending[message.params.token]
    if handlers and handlers.on_progress then
      handlers.on_progress(message.params.value)
    end
    return
  end
  local handlers = message.id and self.pending[message.id]
  if handlers then
    self.pending[message.id], self.methods[message.id] = nil, nil
    handlers.on_done(message.error, message.result)
    if self.is_leaving then
      self:close_when_idle()
    end
  elseif message.error and not message.id then
    -- The daemon could not read something we sent, so one of our messages will never be answered.
    self:close(message.error.message)
  end
end

--- Whether it was sent: what no message can hold is not.
---@private
---@return boolean
function Connection:send(message)
  message.jsonrpc = '2.0'
  local bytes = framing.encode(message)
  if not bytes then
    return false
  end
  self.pipe:write(bytes)
  return true
end

--- Calls a method. The id it returns is for [Connection:cancel].
---@param method string
---@param params table
---@param handlers cupola.Handlers
---@return integer id
function Connection:call(method, params, handlers)
  local id = self.last_id + 1
  self.last_id = id
  if self.closed then
    vim.schedule(function()
      handlers.on_done(failure.lost(method, false, 'the connection to the daemon is closed'))
    end)
    return id
  end
  if handlers.on_progress then
    params = vim.tbl_extend('force', params, { partialResultToken = id })
  end
  if next(params) == nil then
    params = vim.empty_dict()
  end
  self.pending[id] = handlers
  self.methods[id] = method
  if not self:send({ id = id, method = method, params = params }) then
    self.pending[id] = nil
    self.methods[id] = nil
    vim.schedule(function()
      local reason = ('the request is longer than a message may be: %d bytes'):format(framing.MAX_BYTES)
      handlers.on_done(failure.new('messageTooLong', reason, 'upload large data as a file'))
    end)
  end
  return id
end

--- Asks the daemon to end a call; its ending comes as always.
---@param id integer
function Connection:cancel(id)
  if not self.closed and self.pending[id] then
    self:send({ method = '$/cancelRequest', params = { id = id } })
  end
end

--- Ends the connection once every call on it has ended.
function Connection:close_when_idle()
  self.is_leaving = true
  if next(self.pending) == nil then
    self:close('nothing is under way on it')
  end
end

--- Ends the connection, and every call on it with an error that says why.
---@param reason string
function Connection:close(reason)
  if self.closed then
    return
  end
  self.closed = true
  self.pipe:close()
  local pending, methods = self.pending, self.methods
  self.pending, self.methods = {}, {}
  if self.on_close then
    self.on_close()
  end
  for _, id in ipairs(vim.fn.sort(vim.tbl_keys(pending), 'n')) do
    pending[id].on_done(failure.lost(methods[id], true, 'the connection to the daemon was lost: ' .. reason))
  end
end

return M
