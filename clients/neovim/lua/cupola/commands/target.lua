--- `:Cupola target`: which agent calls go to from now on.
local failure = require('cupola.failure')
local known = require('cupola.known')
local scope = require('cupola.scope')

local M = { about = 'choose the agent' }

--- The target that the words name; nil when they name none.
---@param place string
---@param agent? string
---@return table?
local function parse(place, agent)
  if place == 'emulator' or place:match('^emulator=') then
    return { kind = 'emulator', url = place:match('^emulator=(.+)$'), agent = agent }
  elseif place == 'local' or place:match('^local:%d+$') then
    return { kind = 'local', port = tonumber(place:match(':(%d+)$')), agent = agent }
  elseif place:match('^https://.+/agents/[^/]+/endpoint/') then
    return { kind = 'agentEndpoint', url = place }
  elseif place:match('^https://') then
    return agent and { kind = 'project', endpoint = place, agent = agent }
      or { kind = 'directory', path = vim.fn.getcwd(), endpoint = place }
  elseif place == 'directory' then
    return { kind = 'directory', path = vim.fn.getcwd(), agent = agent }
  end
end

function M.run(arguments)
  if arguments == '' then
    return failure.say(scope.current().label)
  end
  local words = vim.split(arguments, '%s+', { trimempty = true })
  if words[1] == 'agent' and words[2] then
    local target = vim.tbl_extend('force', scope.current().target, { agent = words[2] })
    scope.choose(scope.current().with({ target = target }))
    return failure.say(scope.current().label)
  end
  local target = parse(words[1], words[2])
  if not target then
    return failure.say(
      'say emulator[=URL] [AGENT], PROJECT-URL AGENT, AGENT-URL, local[:PORT], directory [AGENT], or agent AGENT',
      vim.log.levels.ERROR
    )
  end
  scope.choose(scope.current().with({ target = target }))
  failure.say(scope.current().label)
end

function M.complete(words)
  if #words == 0 then
    return { 'agent', 'directory', 'emulator', 'https://', 'local' }
  end
  return #words == 1 and known.names(scope.current(), 'agents') or {}
end

return M
