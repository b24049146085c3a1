--- `:Cupola status`: the daemon, and the scope that calls are made in.
local failure = require('cupola.failure')
local scope = require('cupola.scope')

--- A number of things, in the singular or the plural.
local function count(number, word)
  return ('%d %s%s'):format(number, word, number == 1 and '' or 's')
end

local M = { about = 'show the daemon and what calls go to' }

function M.run()
  scope.current().call('daemon/status', {}, {
    on_done = function(reason, status)
      if reason then
        return failure.show(reason)
      end
      failure.say(table.concat({
        scope.current().label,
        ('daemon %s, process %d, up %d s'):format(status.version, status.processId, math.floor(status.uptimeMs / 1000)),
        ('%s, %s'):format(count(status.connections, 'connection'), count(status.runs, 'run')),
      }, '\n'))
    end,
  })
end

return M
