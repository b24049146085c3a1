--- `:Cupola auth [clear]`: the credential and the tokens that the daemon holds. It never says a token.
local failure = require('cupola.failure')
local scope = require('cupola.scope')

local M = { about = 'show or forget the tokens' }

---@param token table
---@return string
local function line(token)
  local ends = token.expiresAt and (' until %s UTC'):format(token.expiresAt:sub(1, 16):gsub('T', ' ')) or ''
  local problem = token.error and (': ' .. token.error) or ''
  return ('%s for %s: %s%s%s'):format(token.credential, token.scope, token.state, ends, problem)
end

---@param status table
---@return string
local function shown(status)
  local tenant = status.credential.tenantId and (', tenant ' .. status.credential.tenantId) or ''
  local lines = vim.tbl_map(line, status.tokens)
  table.insert(lines, 1, ('credential %s%s'):format(status.credential.kind, tenant))
  return table.concat(#lines > 1 and lines or { lines[1], 'no token is held yet' }, '\n')
end

local ACTIONS = {
  [''] = { 'auth/status', shown },
  clear = {
    'auth/clear',
    function(result)
      return result.cleared == 1 and '1 token is forgotten' or ('%d tokens are forgotten'):format(result.cleared)
    end,
  },
}

function M.run(arguments)
  local action = ACTIONS[arguments]
  if not action then
    return failure.say('say nothing, or clear', vim.log.levels.ERROR)
  end
  local method, say = action[1], action[2]
  scope.current().look(method, {}, {
    on_done = function(reason, result)
      if reason then
        return failure.show(reason)
      end
      failure.say(say(result))
    end,
  })
end

function M.complete(words)
  return #words == 0 and { 'clear' } or {}
end

return M
