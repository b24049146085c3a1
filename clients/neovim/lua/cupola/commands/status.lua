--- `:Cupola status`: the daemon, and the scope that calls are made in.
local failure = require('cupola.failure')
local scope = require('cupola.scope')

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
        ('%d connections, %d runs'):format(status.connections, status.runs),
      }, '\n'))
    end,
  })
end

return M
