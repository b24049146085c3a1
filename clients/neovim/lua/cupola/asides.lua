--- What happens beside an answer: the model's reasoning and the agent's tool calls, from the service's own events.
local harmless = require('cupola.harmless')
local view = require('cupola.view')

local M = {}

--- How many lines of one are shown: the rest helps nobody in a buffer of answers.
local MOST_LINES = 100

---@param value any
---@return string?
local function text(value)
  if type(value) == 'table' then
    return vim.fn.json_encode(value)
  end
  return type(value) == 'string' and value ~= '' and value or nil
end

--- The lines for an event of the service, quoted below a title; none for most events.
---@param event table
---@return string[]
function M.lines(event)
  local data = type(event.data) == 'table' and event.data or {}
  local title, parts
  if event.name == 'response.reasoning_summary_text.done' or event.name == 'response.reasoning_text.done' then
    title, parts = 'Reasoning', { text(data.text) }
  elseif event.name == 'response.output_item.done' and type(data.item) == 'table' then
    local item = data.item
    local kind = text(item.type) or ''
    if kind:match('_call_output$') then
      title, parts = 'Tool result', { text(item.output) }
    elseif kind:match('_call$') then
      title, parts = 'Tool: ' .. (text(item.name) or kind:gsub('_call$', '')), {}
      table.insert(parts, text(item.arguments))
      table.insert(parts, text(item.output))
    end
  end
  if not title then
    return {}
  end
  local lines = { '> ' .. harmless.line(title) }
  for _, part in ipairs(parts) do
    for _, line in ipairs(view.lines(part)) do
      if #lines < MOST_LINES then
        table.insert(lines, '> ' .. line)
      end
    end
  end
  return lines
end

return M
