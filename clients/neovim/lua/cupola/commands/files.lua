--- `:Cupola files [upload|download|open|delete|mkdir|list …]`: the files of a session's home, as a list with keys, or one
--- action.
local failure = require('cupola.failure')
local known = require('cupola.known')
local lists = require('cupola.list')
local remote_file = require('cupola.remote_file')
local scope = require('cupola.scope')
local transfers = require('cupola.transfers')

local M = { about = "list, send, fetch, open and delete a session's files" }

local ACTIONS = { 'delete', 'download', 'list', 'mkdir', 'open', 'upload' }

---@class cupola.Place
---@field session? string the current one when left out
---@field path? string a directory; the home when left out

---@param in_scope cupola.Scope
---@param method string
---@param params table
---@param say fun(result: table): string
---@param callback? fun()
local function act(in_scope, method, params, say, callback)
  in_scope.call('files/' .. method, params, {
    on_done = function(reason, result)
      if reason then
        return failure.show(reason)
      end
      failure.say(say(result))
      if callback then
        callback()
      end
    end,
  })
end

---@param in_scope cupola.Scope
---@param session? string
---@param entry cupola.Entry
---@param callback? fun()
local function delete(in_scope, session, entry, callback)
  local what = entry.is_directory and ('%s and all in it'):format(entry.path) or entry.path
  lists.confirm(('Delete %s?'):format(what), 'Delete', function()
    local params = { sessionId = session, path = entry.path, recursive = entry.is_directory or nil }
    act(in_scope, 'delete', params, function(result)
      return ('%s is deleted'):format(result.path)
    end, callback)
  end)
end

---@param entry table
---@return string
local function line(entry)
  local time = entry.modified_time and os.date('%Y-%m-%d %H:%M', entry.modified_time) or ''
  local size = entry.is_directory and '-' or tostring(entry.size)
  return ('%10s  %-16s  %s%s'):format(size, time, entry.name, entry.is_directory and '/' or '')
end

--- Shows a directory of a session.
---@param in_scope cupola.Scope
---@param place cupola.Place
function M.open(in_scope, place)
  local session, directory = place.session, place.path
  local list
  local function refresh()
    in_scope.call('files/list', { sessionId = session, path = directory }, {
      on_done = function(reason, result)
        if reason then
          return failure.show(reason)
        end
        known.learn(in_scope, 'files', result)
        local title = ('%s of %s, %s'):format(directory or 'home', session or 'the current session', in_scope.label)
        list.show(title, result.entries, line)
      end,
    })
  end
  local function on_item(callback)
    return function()
      local entry = list.item()
      if entry then
        callback(entry)
      end
    end
  end
  list = lists.open('files', {
    ['<CR>'] = {
      on_item(function(entry)
        if not entry.is_directory then
          return remote_file.open(in_scope, session, entry.path)
        end
        directory = entry.path
        refresh()
      end),
      'open it; :w sends it back',
    },
    ['-'] = {
      function()
        directory = directory and directory:gsub('/+$', ''):match('^(.+)/[^/]+$')
        refresh()
      end,
      'the directory above',
    },
    u = {
      function()
        vim.ui.input({ prompt = 'Send file: ', completion = 'file' }, function(source)
          if source and source ~= '' then
            local name = vim.fn.fnamemodify(vim.fn.expand(source):gsub('(.)/+$', '%1'), ':t')
            transfers.upload(in_scope, session, source, directory and (directory:gsub('/+$', '') .. '/' .. name), refresh)
          end
        end)
      end,
      'send a file or directory of this machine here',
    },
    D = { on_item(function(entry) transfers.download(in_scope, session, entry) end), 'fetch it to this directory' },
    d = { on_item(function(entry) delete(in_scope, session, entry, refresh) end), 'delete it' },
    R = { refresh, 'read the list again' },
  })
  refresh()
end

--- The thing that a path names: with a slash at its end a directory.
---@param path string
---@return cupola.Entry
local function named(path)
  return { path = path:gsub('/+$', ''), is_directory = path:sub(-1) == '/' }
end

--- Words of a command line; a backslash before a blank keeps a name together.
---@param text string
---@return string[]
local function words_of(text)
  local words = vim.split(text:gsub('\\ ', '\1'), '%s+', { trimempty = true })
  return vim.tbl_map(function(word)
    return (word:gsub('\1', ' '))
  end, words)
end

local RUN = {
  list = function(in_scope, path)
    M.open(in_scope, { path = path })
  end,
  upload = function(in_scope, source, path)
    transfers.upload(in_scope, nil, source or vim.api.nvim_buf_get_name(0), path)
  end,
  download = function(in_scope, path, destination)
    transfers.download(in_scope, nil, named(path), destination)
  end,
  open = function(in_scope, path)
    remote_file.open(in_scope, nil, path)
  end,
  delete = function(in_scope, path)
    delete(in_scope, nil, named(path))
  end,
  mkdir = function(in_scope, path)
    act(in_scope, 'mkdir', { path = path }, function(result)
      return ('%s is there'):format(result.path)
    end)
  end,
}
local NEEDS_PATH = { download = true, open = true, delete = true, mkdir = true }

function M.run(arguments)
  local words = words_of(arguments)
  local action = table.remove(words, 1) or 'list'
  if not RUN[action] then
    return failure.say('say nothing, or one of: ' .. table.concat(ACTIONS, ', '), vim.log.levels.ERROR)
  elseif NEEDS_PATH[action] and not words[1] then
    return failure.say(('say which file to %s'):format(action), vim.log.levels.ERROR)
  end
  RUN[action](scope.current(), words[1], words[2])
end

function M.complete(words, word)
  if #words == 0 then
    return ACTIONS
  end
  local local_file = (words[1] == 'upload' and #words == 1) or (words[1] == 'download' and #words == 2)
  if local_file then
    return vim.fn.getcompletion(word, 'file')
  end
  local names = #words == 1 and known.names(scope.current(), 'files') or {}
  return vim.tbl_map(function(name)
    return (name:gsub(' ', '\\ '))
  end, names)
end

return M
