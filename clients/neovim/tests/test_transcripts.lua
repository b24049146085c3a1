-- Every conversation of `tests/transcripts`, through the plugin's own connection, each with a fresh daemon.
local connection = require('cupola.connection')
local support = require('support')

local all = vim.fn.sort(vim.fn.glob(vim.fn.fnamemodify(support.plugin, ':h:h') .. '/tests/transcripts/*.jsonl', false, true))
--- Those that are for the framing that the plugin speaks.
local files = vim.tbl_filter(function(file)
  local framings = vim.json.decode(vim.fn.readfile(file, '', 1)[1]).framings
  return not framings or vim.tbl_contains(framings, 'lsp')
end, all)
assert(#files > 0, 'there are no transcripts')

---@param text any
---@return string?
local function placeholder(text)
  return type(text) == 'string' and text:match('^<([^<>]+)>$') or nil
end

--- Does a message have all that the pattern has? Captures what the pattern names.
local function matches(pattern, message, captured)
  local name = placeholder(pattern)
  if name == '*' then
    return message ~= nil
  elseif name then
    captured[name] = captured[name] == nil and message or captured[name]
    return vim.deep_equal(captured[name], message)
  elseif pattern == vim.NIL then
    -- The plugin takes null for nothing.
    return message == nil
  elseif type(pattern) ~= 'table' or type(message) ~= 'table' then
    return pattern == message
  elseif #pattern > 0 and #pattern ~= #message then
    return false
  end
  for key, value in pairs(pattern) do
    if not matches(value, message[key], captured) then
      return false
    end
  end
  return true
end

--- The message to send, with what was captured in its places.
local function filled(message, captured)
  local name = placeholder(message)
  if name then
    return captured[name]
  elseif type(message) ~= 'table' then
    return message
  end
  for key, value in pairs(message) do
    message[key] = filled(value, captured)
  end
  return message
end

---@param file string
local function replay(file)
  support.fresh_home()
  local path = vim.trim(vim.fn.system({ support.binary, 'socket' }))
  local line, received, captured = nil, {}, {}
  connection.open(path, function(reason, opened)
    assert(not reason, reason and reason.message)
    line = opened
    -- The transcript is about messages, below calls and their handlers.
    line.dispatch = function(_, message)
      table.insert(received, message)
    end
  end)
  support.wait('a connection', function() return line end)
  for number, text in ipairs(vim.fn.readfile(file)) do
    local step = text ~= '' and vim.json.decode(text) or {}
    if step['->'] then
      line:send(filled(step['->'], captured))
    elseif step['<-'] then
      support.wait(('line %d: %s'):format(number, text), function() return received[1] end)
      local message = table.remove(received, 1)
      assert(matches(step['<-'], message, captured), ('line %d: %s\ngot %s'):format(number, text, vim.inspect(message)))
    end
  end
  line.pipe:shutdown()
  support.wait('the end of the connection', function() return received[1] end)
  assert(received[1].lost, 'one message more: ' .. vim.inspect(received[1]))
end

--- Does the conversation work over the framing that the plugin speaks?
local function works_here(file)
  local framings = vim.json.decode(vim.fn.readfile(file, '', 1)[1]).framings
  return not framings or vim.tbl_contains(framings, 'lsp')
end

return vim.tbl_map(function(file)
  return { vim.fn.fnamemodify(file, ':t'), function() replay(file) end }
end, vim.tbl_filter(works_here, files))
