--- Names for completion: the daemon's recent answers, kept with their scope. Asking is answered from memory,
--- and fetches news for the next time.
local harmless = require('cupola.harmless')

local M = {}

--- How long a list is taken for news, in ms: completion asks at every key.
local FRESH_MS = 3000

---@alias cupola.Names 'sessions'|'files'|'runs'|'agents'|'partitions'

local SOURCES = {
  sessions = {
    method = 'sessions/list',
    names = function(result)
      return vim.tbl_map(function(session) return session.agent_session_id end, result.data)
    end,
  },
  files = {
    method = 'files/list',
    names = function(result)
      return vim.tbl_map(function(entry) return entry.path .. (entry.is_directory and '/' or '') end, result.entries)
    end,
  },
  runs = {
    method = 'runs/list',
    names = function(result)
      return vim.tbl_map(function(run) return run.runId end, result.runs)
    end,
  },
  partitions = {
    method = 'partitions/list',
    names = function(result)
      return vim.tbl_map(function(partition) return partition.id end, result.partitions)
    end,
  },
  agents = {
    method = 'agents/list',
    -- A bound line may not ask for it.
    needs_no_isolation = true,
    names = function(result)
      return vim.tbl_map(function(agent) return agent.name end, result.data)
    end,
  },
}

--- When each list was last asked for, in ms. Forgotten with the scope.
---@type table<cupola.Scope, table<string, integer>>
local asked = setmetatable({}, { __mode = 'k' })

--- Takes the names out of an answer somebody else asked for.
---@param scope cupola.Scope
---@param what cupola.Names
---@param result table
function M.learn(scope, what, result)
  -- A name that would act on the command line is not offered; the lists show it.
  scope.known[what] = vim.tbl_filter(function(name)
    return harmless.line(name) == name
  end, SOURCES[what].names(result))
end

---@param scope cupola.Scope
---@param what cupola.Names
---@param name string
function M.add(scope, what, name)
  if not vim.tbl_contains(scope.known[what], name) then
    table.insert(scope.known[what], name)
  end
end

--- The names known now.
---@param scope cupola.Scope
---@param what cupola.Names
---@return string[]
function M.names(scope, what)
  local now = (vim.uv or vim.loop).now()
  asked[scope] = asked[scope] or {}
  local last = asked[scope][what]
  if not last or now - last > FRESH_MS then
    asked[scope][what] = now
    local ask = SOURCES[what].needs_no_isolation and scope.look or scope.call
    ask(SOURCES[what].method, {}, {
      on_done = function(reason, result)
        -- The user did not ask for anything, so a failure of completion is not shown.
        if not reason then
          M.learn(scope, what, result)
        end
      end,
    })
  end
  return scope.known[what]
end

return M
