--- `:[range]Cupola invoke [--new-conversation] [--new-session] [--detach] [text]`: a question to the agent, its answer streamed.
local answers = require('cupola.answers')
local failure = require('cupola.failure')
local scope = require('cupola.scope')
local view = require('cupola.view')

local M = { about = 'ask the agent' }

local FLAGS = { ['--new-conversation'] = 'newConversation', ['--new-session'] = 'newSession', ['--detach'] = 'detach' }

--- The text of the range: what was selected, exactly, when the range is the last selection; else whole lines.
---@param command table
---@return string?
local function selected(command)
  if command.range == 0 then
    return nil
  end
  local first, last = vim.fn.getpos("'<"), vim.fn.getpos("'>")
  local is_selection = command.range == 2 and first[2] == command.line1 and last[2] == command.line2
  local mode = is_selection and vim.fn.visualmode() or 'V'
  local lines = vim.api.nvim_buf_get_lines(0, command.line1 - 1, command.line2, false)
  if mode == 'v' then
    local stop = last[3] - (vim.o.selection == 'exclusive' and 1 or 0)
    local end_character = vim.fn.matchstr(lines[#lines]:sub(stop), '^.')
    lines[#lines] = lines[#lines]:sub(1, stop + math.max(#end_character, 1) - 1)
    lines[1] = lines[1]:sub(first[3])
  elseif mode == '\22' then
    local left, right = vim.fn.virtcol("'<"), vim.fn.virtcol("'>")
    left, right = math.min(left, right), math.max(left, right)
    lines = vim.tbl_map(function(line)
      return vim.fn.matchstr(line, ([[\%%>%dv.*\%%<%dv]]):format(left - 1, right + 2))
    end, lines)
  end
  return table.concat(lines, '\n')
end

--- Asks, and shows the answer as it comes.
---@param question string
---@param options? table more parameters of `invoke`
---@param in_scope? cupola.Scope the current one when left out
---@return cupola.Call?
function M.ask(question, options, in_scope)
  if vim.trim(question) == '' then
    return failure.say('there is nothing to send', vim.log.levels.WARN)
  end
  -- JSON cannot carry other bytes, and the daemon would have to drop the line.
  if not pcall(vim.fn.json_encode, question) then
    return failure.say('the text is not valid UTF-8 and cannot be sent', vim.log.levels.ERROR)
  end
  in_scope = in_scope or scope.current()
  local params = vim.tbl_extend('force', { input = question }, options or {})
  return answers.stream(in_scope, 'invoke', params, question)
end

--- Lets the user write several lines, and sends them when the buffer is written.
---@param options table
local function compose(options)
  local begun = view.find('question')
  if begun then
    return view.show(begun)
  end
  local in_scope = scope.current()
  local buffer = view.open({ name = 'question', filetype = 'markdown' })
  vim.bo[buffer].buftype = 'acwrite'
  vim.api.nvim_create_autocmd('BufWriteCmd', {
    buffer = buffer,
    callback = function()
      local lines = vim.api.nvim_buf_get_lines(buffer, 0, -1, false)
      vim.bo[buffer].modified = false
      vim.schedule(function()
        pcall(vim.api.nvim_buf_delete, buffer, { force = true })
        M.ask(table.concat(lines, '\n'), options, in_scope)
      end)
    end,
  })
  failure.say(('write the question; :w sends it to %s'):format(in_scope.label))
end

function M.run(arguments, command)
  local options = {}
  while true do
    local flag, rest = arguments:match('^(%-%-%S+)%s*(.*)$')
    if not FLAGS[flag] then
      break
    end
    options[FLAGS[flag]], arguments = true, rest
  end
  local selection = selected(command)
  if not selection and arguments == '' then
    return compose(options)
  end
  local parts = { arguments ~= '' and arguments or nil }
  table.insert(parts, selection)
  M.ask(table.concat(parts, '\n\n'), options)
end

function M.complete()
  return vim.tbl_keys(FLAGS)
end

return M
