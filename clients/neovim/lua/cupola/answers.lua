--- The buffer that answers are streamed into: each question quoted, its answer below, at a mark of its own, so that
--- several answers can grow at once.
local asides = require('cupola.asides')
local failure = require('cupola.failure')
local known = require('cupola.known')
local list = require('cupola.list')
local view = require('cupola.view')

local M = {}

local NAME = 'answers'
--- How long text may wait for more before it is drawn, in ms: 50 times a second looks like at once.
local MOMENT = 20
local namespace = vim.api.nvim_create_namespace('cupola')

--- Daemons in a row that may go away before anything new came of a run.
local MAX_TRIES = 5

--- Calls whose answers are not complete, by the buffer's mark.
---@type table<integer, cupola.Call>
local running = {}

---@return integer buffer
local function buffer_of_answers()
  local buffer = view.find(NAME)
  if buffer then
    view.show(buffer)
    return buffer
  end
  return view.open({
    name = NAME,
    filetype = 'markdown',
    keys = {
      ['<C-c>'] = { M.cancel_all, 'cancel the answers under way' },
      q = { function() vim.cmd('close') end, 'close the window; answers keep arriving' },
    },
    on_unload = M.cancel_all,
  })
end

---@class cupola.Answer
---@field private buffer integer
---@field private mark integer
---@field private parts string[] all text so far
---@field private late string[] text that is not shown yet
local Answer = {}
Answer.__index = Answer

--- Shows the question and makes room for its answer. The window stays where the user was.
---@param question string
---@param label string whom it goes to
---@return cupola.Answer
local function new(question, label)
  local before = vim.api.nvim_get_current_win()
  local buffer = buffer_of_answers()
  local lines = { ('## %s'):format(label), '' }
  for _, line in ipairs(view.lines(question)) do
    table.insert(lines, line == '' and '>' or '> ' .. line)
  end
  vim.list_extend(lines, { '', '', '' })
  view.append(buffer, lines)
  local row = vim.api.nvim_buf_line_count(buffer) - 2
  view.follow(buffer, { vim.api.nvim_get_current_win() })
  vim.api.nvim_set_current_win(before)
  local mark = vim.api.nvim_buf_set_extmark(buffer, namespace, row, 0, {
    virt_text = { { '…', 'Comment' } },
    virt_text_pos = 'eol',
  })
  return setmetatable({ buffer = buffer, mark = mark, parts = {}, late = {} }, Answer)
end

---@private
---@return boolean
function Answer:is_there()
  return vim.api.nvim_buf_is_loaded(self.buffer)
end

--- Adds text at the answer's end, together with what else comes in a moment: drawing each word would keep the editor busy.
---@param text string
function Answer:append(text)
  if text == '' then
    return
  end
  table.insert(self.parts, text)
  table.insert(self.late, text)
  if #self.late == 1 then
    vim.defer_fn(function()
      self:draw()
    end, MOMENT)
  end
end

---@private
function Answer:draw()
  local text = table.concat(self.late)
  self.late = {}
  if text == '' or not self:is_there() then
    return
  end
  local position = vim.api.nvim_buf_get_extmark_by_id(self.buffer, namespace, self.mark, {})
  local windows = view.followers(self.buffer)
  view.edit(self.buffer, function()
    vim.api.nvim_buf_set_text(self.buffer, position[1], position[2], position[1], position[2], view.lines(text))
  end)
  view.follow(self.buffer, windows)
end

--- Shows what happened beside the answer, above what comes next, folded: `zo` opens it.
---@param lines string[]
function Answer:aside(lines)
  self:draw()
  if #lines == 0 or not self:is_there() then
    return
  end
  local position = vim.api.nvim_buf_get_extmark_by_id(self.buffer, namespace, self.mark, {})
  local row, column = position[1], position[2]
  local inserted = vim.list_extend(column == 0 and {} or { '', '' }, vim.list_extend(vim.deepcopy(lines), { '', '' }))
  view.edit(self.buffer, function()
    vim.api.nvim_buf_set_text(self.buffer, row, column, row, column, inserted)
  end)
  local first = row + (column == 0 and 1 or 3)
  for _, window in ipairs(vim.fn.win_findbuf(self.buffer)) do
    vim.api.nvim_win_call(window, function()
      vim.wo.foldmethod = 'manual'
      vim.cmd(('silent! %d,%dfold'):format(first, first + #lines - 1))
    end)
  end
end

--- Makes the answer's text this one: only what is not there yet is added, unless the beginning differs.
---@param text string
function Answer:replace(text)
  local shown = table.concat(self.parts)
  if vim.startswith(text, shown) then
    return self:append(text:sub(#shown + 1))
  end
  if (text:gsub('%s', '')) == (shown:gsub('%s', '')) then
    -- Some agents stream their words without what is between them.
    self.parts = { text }
    return
  end
  self:append(('\n\n*The agent began again:*\n\n%s'):format(text))
  self.parts = { text }
end

--- Says that the answer is complete, or why it is not.
---@param remark? string
function Answer:finish(remark)
  if not self:is_there() then
    return
  end
  if remark then
    self:append((#self.parts > 0 and '\n\n' or '') .. ('*%s*'):format(remark:gsub('\n', ' ')))
  end
  self:draw()
  vim.api.nvim_buf_del_extmark(self.buffer, namespace, self.mark)
  running[self.mark] = nil
end

--- How many answers are not complete.
---@return integer
function M.under_way()
  return vim.tbl_count(running)
end

--- Cancels every call whose answer is not complete.
---@return integer count
function M.cancel_all()
  local count = 0
  for mark, call in pairs(running) do
    running[mark] = nil
    call.cancel()
    count = count + 1
  end
  return count
end

--- Shows a failure where the answer would have been, and as a notification.
---@param reason cupola.Error
function Answer:fail(reason)
  self:finish(failure.is_cancelled(reason) and 'cancelled' or failure.text(reason))
  if not failure.is_cancelled(reason) then
    failure.show(reason)
  end
end

--- Why an answer is not complete; nil when it is.
---@param result table
---@return string?
local function shortcoming(result)
  if result.status == 'completed' then
    return nil
  end
  local reason = result.status ~= 'cancelled' and result.failure
  if not reason then
    return result.status
  end
  local hint = reason.hint and ('; hint: ' .. reason.hint) or ''
  return ('%s: %s%s'):format(result.status, reason.message, hint)
end

--- What the agent asks, with everything that it wants to do.
---@param question table
---@return string
local function described(question)
  local of = question.server and (' of the server ' .. question.server) or ''
  local details = {}
  for _, detail in ipairs({ question.arguments or '', question.url or '', question.message or '' }) do
    if detail ~= '' then
      table.insert(details, '    ' .. detail:gsub('\n', '\n    '))
    end
  end
  local text = 'The agent waits for more information: answer with the next message.'
  if question.kind == 'approval' then
    text = ('The agent asks to call the tool %s%s.'):format(question.tool or '(not named)', of)
  elseif question.kind == 'consent' then
    text = ('The agent needs your consent%s.'):format(of)
  end
  return table.concat({ '*' .. text .. '*', unpack(details) }, '\n\n')
end

--- Asks the person, one question after the other. A question that is left open can be answered elsewhere.
---@param in_scope cupola.Scope
---@param questions table[]
local function ask(in_scope, questions)
  local question = table.remove(questions, 1)
  if not question then
    return
  end
  local choices, prompt = nil, nil
  if question.kind == 'approval' then
    choices = { 'Allow once', 'Refuse' }
    prompt = ('Call the tool %s with %s?'):format(question.tool or '', question.arguments or '{}')
  elseif question.kind == 'consent' and vim.startswith(question.url or '', 'https://') then
    choices = { 'Open the link', 'Not now' }
    prompt = ('Open %s?'):format(question.url)
  else
    return ask(in_scope, questions)
  end
  list.choose(prompt, choices, function(index)
    if index and question.kind == 'approval' then
      local approve = index == 1
      local item = { type = 'mcp_approval_response', approval_request_id = question.id, approve = approve }
      local label = ('%s %s once'):format(approve and 'Allow' or 'Refuse', question.tool or 'the tool')
      M.stream(in_scope, 'invoke', { input = { item } }, label)
    elseif index == 1 then
      -- Neovim 0.9 has no way to open a link; there it is shown only.
      if vim.ui.open then
        vim.ui.open(question.url)
      end
    end
    ask(in_scope, questions)
  end)
end

--- Begins a run, or attaches to one. When the daemon is lost, a run that outlives it is followed on the next one after its last event:
--- its `started` event says whether it does, and one that was attached to may.
---@param in_scope cupola.Scope
---@param method 'invoke'|'runs/attach'
---@param params table
---@param handlers cupola.Handlers
---@return cupola.Call
local function follow(in_scope, method, params, handlers)
  local run, after, outlives, tries = params.runId, 0, method == 'runs/attach', 0
  local current
  local function begin(next_method, next_params)
    current = in_scope.call(next_method, next_params, {
      on_progress = function(event)
        run, after, tries = event.runId, math.max(after, event.number or 0), 0
        outlives = outlives or event.survives == true
        handlers.on_progress(event)
      end,
      on_done = function(reason, result)
        local is_lost = reason and reason.data and reason.data.kind == 'connectionLost'
        if is_lost and outlives and run and tries < MAX_TRIES then
          tries = tries + 1
          return begin('runs/attach', { runId = run, after = after, textOnly = params.textOnly })
        end
        handlers.on_done(reason, result)
      end,
    })
  end
  begin(method, params)
  return { cancel = function() current.cancel() end }
end

--- Calls a method that answers as `invoke` does, and shows the answer as it comes.
---@param in_scope cupola.Scope
---@param method 'invoke'|'runs/attach'
---@param params table
---@param question string
---@return cupola.Call
function M.stream(in_scope, method, params, question)
  local answer = new(question, in_scope.label)
  local call = follow(in_scope, method, params, {
    on_progress = function(event)
      if event.type == 'textDelta' then
        answer:append(event.delta)
      elseif event.type == 'snapshot' then
        answer:replace(event.text)
      elseif event.type == 'output' then
        answer:aside(asides.lines(event))
      elseif event.type == 'notice' then
        failure.say(event.message, vim.log.levels.WARN)
      elseif event.type == 'started' and event.sessionId then
        known.add(in_scope, 'sessions', event.sessionId)
      end
    end,
    on_done = function(reason, result)
      if reason then
        return answer:fail(reason)
      end
      answer:replace(result.text)
      local questions = result.questions or {}
      for _, question in ipairs(questions) do
        answer:append((#answer.parts > 0 and '\n\n' or '') .. described(question))
      end
      -- An answer that waits for the person is not cut short.
      local waits = #questions > 0 and result.status == 'incomplete'
      answer:finish(not waits and shortcoming(result) or nil)
      ask(in_scope, vim.list_slice(questions))
    end,
  })
  running[answer.mark] = call
  return call
end

return M
