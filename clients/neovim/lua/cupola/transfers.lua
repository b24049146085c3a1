--- Files and directories on their way between this machine and a session. The daemon reads and writes the local ones
--- itself, and goes through directories.
local failure = require('cupola.failure')
local known = require('cupola.known')
local lists = require('cupola.list')
local uv = vim.uv or vim.loop

local M = {}

---@class cupola.Entry
---@field path string
---@field is_directory boolean

--- What is under way.
---@type table<cupola.Call, true>
local running = {}

--- What became of it, in a sentence and a line for everything that was left behind.
---@param sentence string
---@param result table
---@return string, integer? level
local function said(sentence, result)
  local tree = result.tree
  if not tree then
    return ('%s, %d bytes'):format(sentence, result.bytes)
  end
  local lines = { ('%s, %d files, %d bytes'):format(sentence, tree.files, result.bytes) }
  for _, one in ipairs(tree.failures or {}) do
    table.insert(lines, ('failed: %s: %s'):format(one.path, one.message))
  end
  for _, one in ipairs(tree.skipped or {}) do
    table.insert(lines, 'left out: ' .. one)
  end
  return table.concat(lines, '\n'), #lines > 1 and vim.log.levels.WARN or nil
end

---@param in_scope cupola.Scope
---@param method string
---@param params table
---@param callback fun(result: table): string called when it is done, says so in a sentence
local function transfer(in_scope, method, params, callback)
  local call
  call = in_scope.transfer(method, params, {
    on_done = function(reason, result)
      running[call] = nil
      if reason then
        return failure.show(reason)
      end
      failure.say(said(callback(result), result))
    end,
  })
  running[call] = true
end

--- Sends a file or a directory.
---@param in_scope cupola.Scope
---@param session? string
---@param source string
---@param path? string
---@param callback? fun()
function M.upload(in_scope, session, source, path, callback)
  -- A directory's name is expanded with a slash at its end.
  local absolute = vim.fn.fnamemodify(vim.fn.expand(source), ':p'):gsub('(.)/+$', '%1')
  local is_directory = vim.fn.isdirectory(absolute) == 1
  local params = { sessionId = session, localPath = absolute, path = path, recursive = is_directory or nil }
  transfer(in_scope, 'files/upload', params, function(result)
    known.add(in_scope, 'files', result.path .. (is_directory and '/' or ''))
    if callback then
      callback()
    end
    return ('%s sent as %s'):format(result.localPath, result.path)
  end)
end

--- Fetches a file or a directory. Asks before anything here is replaced.
---@param in_scope cupola.Scope
---@param session? string
---@param entry cupola.Entry
---@param destination? string a file or a directory on this machine; the current directory when left out
function M.download(in_scope, session, entry, destination)
  local name = entry.path:match('[^/]+$') or entry.path
  local absolute = vim.fn.fnamemodify(vim.fn.expand(destination or '.'), ':p')
  if vim.fn.isdirectory(absolute) == 1 then
    absolute = absolute:gsub('/*$', '/') .. name
  end
  local params = { sessionId = session, path = entry.path, localPath = absolute, recursive = entry.is_directory or nil }
  local function fetch()
    transfer(in_scope, 'files/download', params, function(result)
      return ('%s fetched to %s'):format(result.path, result.localPath)
    end)
  end
  -- Only "there is none" means that nothing is replaced; a file that cannot be read is one.
  local found, _, code = uv.fs_lstat(absolute)
  local is_file = found and found.type ~= 'directory' or (not found and code ~= 'ENOENT')
  if is_file then
    lists.confirm(('%s is there already.'):format(absolute), 'Replace', fetch)
  elseif entry.is_directory and vim.fn.isdirectory(absolute) == 1 then
    lists.confirm(('%s is there already; files of the same names are replaced.'):format(absolute), 'Fetch', fetch)
  else
    fetch()
  end
end

--- Cancels all that is under way.
---@return integer count
function M.cancel_all()
  local calls = vim.tbl_keys(running)
  for _, call in ipairs(calls) do
    running[call] = nil
    call.cancel()
  end
  return #calls
end

return M
