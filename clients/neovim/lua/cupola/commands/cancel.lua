--- `:Cupola cancel`: ends every answer, log and transfer that is under way.
local answers = require('cupola.answers')
local failure = require('cupola.failure')
local monitor = require('cupola.commands.monitor')
local transfers = require('cupola.transfers')

local M = { about = 'cancel what is under way' }

function M.run()
  local count = answers.cancel_all() + monitor.stop_all() + transfers.cancel_all()
  failure.say(count == 0 and 'nothing is under way' or ('%d cancelled'):format(count))
end

return M
