--- `:Cupola isolation`: whose state calls see from now on. Asked for without echo; what is not given is not set, so that
--- half of one user's isolation is never mixed with half of another's.
local failure = require('cupola.failure')
local scope = require('cupola.scope')

local M = { about = 'choose whose state calls see' }

--- Asked for when the command names nothing.
local ASKED = { 'user', 'chat' }

---@param short string
---@return table?
local function part_of(short)
  for _, part in ipairs(scope.FIELDS) do
    if part.short == short then
      return part
    end
  end
end

--- Command lines with values in them do not stay in the history, which is written to a file.
local function forget_command_lines()
  vim.fn.histdel(':', [[\<Cu\a*\s\+isolation\s.*=]])
end

---@param part table
---@return string
local function ask(part)
  local prompt = ('%s (empty for none): '):format(part.label)
  return part.secret and vim.fn.inputsecret(prompt) or vim.fn.input(prompt)
end

---@param isolation table
local function choose(isolation)
  scope.choose(scope.current().with({ isolation = isolation }))
  failure.say(scope.current().label)
end

function M.run(arguments)
  if arguments == 'show' then
    return failure.say(scope.current().label)
  elseif arguments == 'clear' then
    return choose({})
  end
  local words = arguments ~= '' and vim.split(arguments, '%s+', { trimempty = true }) or ASKED
  local isolation = {}
  for _, word in ipairs(words) do
    local short, value = word:match('^(%a+)=(.*)$')
    local part = part_of(short or word)
    if not part then
      -- The word may hold a key, so it is not repeated.
      forget_command_lines()
      return failure.say('say user, chat, owner, identity, label or model, each with or without =value', vim.log.levels.ERROR)
    end
    if not value or value == '' then
      value = ask(part)
    end
    isolation[part.field] = value ~= '' and value or nil
  end
  forget_command_lines()
  choose(isolation)
end

function M.complete(words)
  if #words == 0 then
    return { 'chat', 'clear', 'identity', 'label', 'model', 'owner', 'show', 'user' }
  end
  return words[1] ~= 'show' and words[1] ~= 'clear' and { 'chat', 'identity', 'label', 'model', 'owner', 'user' } or {}
end

return M
