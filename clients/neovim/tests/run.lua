-- The plugin's tests, in a headless Neovim, against real daemons:
--
--   CUPOLA_BINARY=target/debug/cupola nvim --headless -u NONE -i NONE -c 'luafile clients/neovim/tests/run.lua'
--
-- With ONLY=words only the tests whose names have these words are run. The last line is `N passed, M failed`.

--- A run that takes longer than this, in ms, waits for something that does not come.
local LIMIT = 600 * 1000
--- How long an editor may take to stop in good order, in ms.
local GRACE = 30 * 1000

-- Compiled Lua code sometimes ends the LuaJIT 2.1.0-beta3 of Debian's Neovim with a segmentation fault.
if jit then
  jit.off()
end

local tests = vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p:h')
local plugin = vim.fn.fnamemodify(tests, ':h')
vim.opt.runtimepath:prepend(plugin)
package.path = tests .. '/?.lua;' .. package.path

local function say(line)
  io.stdout:write(line, '\n')
  io.stdout:flush()
end

local support = require('support')
support.plugin = plugin

local passed, failed = 0, 0
local only = vim.env.ONLY

local function run(name, test)
  if only and not name:find(only, 1, true) then
    return
  end
  local fine, reason = xpcall(function()
    support.begin()
    test()
  end, debug.traceback)
  local tidy, untidy = xpcall(support.finish, debug.traceback)
  if fine and tidy then
    passed = passed + 1
    say(('test %s ... ok'):format(name))
  else
    failed = failed + 1
    say(('test %s ... FAILED\n%s'):format(name, fine and untidy or reason))
    say('  notifications: ' .. vim.inspect(support.notifications))
  end
end

local function finish(code)
  support.stop_daemon()
  say(('%d passed, %d failed'):format(passed, failed))
  vim.cmd((code or failed) > 0 and 'cquit!' or 'qall!')
end

--- The end of a run that took too long.
local function give_up()
  say(('the tests did not end within %d s'):format(LIMIT / 1000))
  failed = failed + 1
end

vim.defer_fn(function()
  give_up()
  finish(1)
end, LIMIT)

-- An editor that is blocked runs nothing scheduled, only this.
support.uv.new_timer():start(LIMIT + GRACE, 0, function()
  give_up()
  say(('%d passed, %d failed'):format(passed, failed))
  os.exit(1)
end)

-- In a callback, so that the editor has started completely.
vim.schedule(function()
  for _, file in ipairs(vim.fn.sort(vim.fn.glob(tests .. '/test_*.lua', false, true))) do
    local loaded, group = xpcall(dofile, debug.traceback, file)
    local title = vim.fn.fnamemodify(file, ':t:r'):gsub('^test_', '')
    if not loaded then
      failed = failed + 1
      say(group)
    else
      for _, test in ipairs(group) do
        run(title .. ': ' .. test[1], test[2])
      end
    end
  end
  finish()
end)
