--- A file of a session in a buffer: fetched when opened, sent back when written. Where it goes back to is decided when it
--- is opened, whatever isolation is chosen later.
local failure = require('cupola.failure')
local view = require('cupola.view')

local M = {}

--- Sends the buffer's text. It counts as unsaved until the service has it.
---@param buffer integer
---@param copy string where the daemon reads it from
---@param in_scope cupola.Scope
---@param session string
---@param path string
local function write(buffer, copy, in_scope, session, path)
  local tick = vim.api.nvim_buf_get_changedtick(buffer)
  -- The editor's own writing knows encoding, line ends and a missing last line feed.
  vim.api.nvim_buf_call(buffer, function()
    vim.cmd('silent noautocmd keepalt write! ' .. vim.fn.fnameescape(copy))
  end)
  in_scope.transfer('files/upload', { sessionId = session, localPath = copy, path = path }, {
    on_done = function(reason, result)
      if reason then
        return failure.show(reason)
      end
      if vim.api.nvim_buf_is_valid(buffer) and vim.api.nvim_buf_get_changedtick(buffer) == tick then
        vim.bo[buffer].modified = false
      end
      failure.say(('%s sent, %d bytes'):format(path, result.bytes))
    end,
  })
end

--- Reads a file into the empty current buffer as the editor reads any file. It cannot be undone to nothing.
---@param copy string
local function read(copy)
  local undo = vim.bo.undolevels
  vim.bo.undolevels = -1
  vim.cmd('silent keepalt read ++edit ' .. vim.fn.fnameescape(copy))
  vim.cmd('silent 1delete _')
  local file = assert(io.open(copy, 'rb'))
  if file:seek('end') > 0 then
    file:seek('end', -1)
    vim.bo.endofline = file:read(1) == '\n'
    vim.bo.fixendofline = false
  end
  file:close()
  vim.bo.undolevels = undo
end

---@param in_scope cupola.Scope
---@param session? string
---@param path string
function M.open(in_scope, session, path)
  -- In the editor's own directory for temporary files, which is private and goes with the editor.
  local copy = vim.fn.tempname()
  in_scope.transfer('files/download', { sessionId = session, path = path, localPath = copy }, {
    on_done = function(reason, result)
      if reason then
        return failure.show(reason)
      end
      -- What is written goes back to the session it came from, even if another becomes the current one.
      session = result.sessionId
      local name = ('file/%s/%s'):format(session, path:gsub('^/+', ''))
      local old = view.find(name)
      if old and vim.bo[old].modified then
        view.show(old)
        return failure.say(('%s is open and not written yet'):format(path), vim.log.levels.WARN)
      end
      local buffer = view.open({ name = name, filetype = '' })
      vim.api.nvim_buf_call(buffer, function()
        read(copy)
      end)
      vim.bo[buffer].buftype = 'acwrite'
      vim.bo[buffer].modified = false
      vim.api.nvim_create_autocmd('BufWriteCmd', {
        buffer = buffer,
        callback = function()
          write(buffer, copy, in_scope, session, path)
        end,
      })
      if vim.fn.exists('#filetypedetect#BufRead') == 1 then
        vim.api.nvim_buf_call(buffer, function()
          vim.cmd('filetype detect')
        end)
      end
    end,
  })
end

return M
