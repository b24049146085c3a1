-- The line to the daemon: found, started, lost, made again.
local daemon = require('cupola.daemon')
local support = require('support')
local uv = vim.uv or vim.loop

return {
  {
    'only the command is there before it is used',
    function()
      local script = [[
        vim.opt.runtimepath:prepend(%q)
        vim.cmd('runtime plugin/cupola.lua')
        for name in pairs(package.loaded) do
          if name:find('^cupola') then io.stdout:write(name) end
        end
        io.stdout:write(vim.fn.exists(':Cupola'))
      ]]
      local file = vim.fn.tempname() .. '.lua'
      vim.fn.writefile(vim.split(script:format(support.plugin), '\n'), file)
      local command = { vim.v.progpath, '--headless', '-u', 'NONE', '-i', 'NONE', '-c', 'luafile ' .. file, '-c', 'qall!' }
      support.equal(vim.fn.system(command), '2')
    end,
  },
  {
    'parallel first calls make one line',
    function()
      local done = 0
      for _ = 1, 5 do
        daemon.shared:call('daemon/status', {}, { on_done = function() done = done + 1 end })
      end
      support.wait('five answers', function() return done == 5 end)
      -- Lines of other tests may just be leaving; one too many would stay.
      support.wait('one line', function() return support.call('daemon/status').connections == 1 end)
    end,
  },
  {
    'a daemon that is killed fails what is under way, and the next call starts another that knows the session',
    function()
      support.as_user('survivor')
      vim.cmd('Cupola invoke remember that tea is ready')
      support.wait_for_text('answers', 'Remembered: tea is ready')
      vim.cmd('Cupola invoke slow 500 100')
      support.wait_for_text('answers', 'tick0')
      local id = support.daemon_id()
      uv.kill(id, 'sigkill')
      local lost = support.wait_for_notification('the connection to the daemon was lost').text
      support.has(lost, 'hint: the turn may have run')
      support.wait_for_text('answers', '*the connection to the daemon was lost')
      vim.cmd('Cupola invoke what do you remember?')
      support.wait_for_text('answers', '- tea is ready')
      assert(support.daemon_id() ~= id)
    end,
  },
  {
    'a run that outlives its daemon is followed on the next one, and nothing comes twice',
    function()
      local url
      local emulator = vim.fn.jobstart(
        { support.binary, 'emulator', '--listen', '127.0.0.1:0', '--json', '--data-dir', vim.fn.tempname() },
        { on_stdout = function(_, lines)
          url = url or lines[1] ~= '' and vim.fn.json_decode(lines[1]).url
        end }
      )
      support.wait('an emulator of its own', function() return url end)
      vim.g.cupola = { command = { support.binary }, target = { kind = 'emulator', url = url } }
      support.as_user('detached-survivor')
      vim.cmd('Cupola invoke --detach slow 40 50')
      support.wait_for_text('answers', 'tick1')
      local id = support.daemon_id()
      uv.kill(id, 'sigkill')
      local text = support.wait_for_text('answers', 'tick39')
      local _, count = text:gsub('tick%d+', '')
      assert(count == 40, text)
      assert(support.daemon_id() ~= id)
      -- Without its emulator, the run would not end.
      support.wait('the end of the run', function() return support.call('daemon/status').runs == 0 end)
      vim.fn.jobstop(emulator)
    end,
  },
  {
    'a log that is followed says that the line was lost, and can be read again',
    function()
      support.as_user('log-survivor')
      vim.cmd('Cupola invoke hello')
      support.wait_for_text('answers', 'echo: hello')
      vim.cmd('Cupola monitor')
      support.wait_for_text('log', 'POST /responses 200')
      uv.kill(support.daemon_id(), 'sigkill')
      support.wait_for_text('log', 'R reads it again')
      support.press('log', 'R')
      vim.cmd('Cupola invoke hello')
      support.wait_for_text('log', 'POST /responses 200')
    end,
  },
  {
    'a program that is not there is said so, with what to do',
    function()
      daemon.shared:close()
      vim.g.cupola = { command = { 'cupola-that-is-not-there' }, target = { kind = 'emulator' } }
      vim.cmd('Cupola status')
      support.has(support.wait_for_notification('cupola-that-is-not-there does not start').text, 'hint: install cupola')
      vim.cmd('Cupola invoke hello')
      support.wait_for_text('answers', 'cupola-that-is-not-there does not start')
      vim.cmd('Cupola cancel')
      support.wait_for_notification('nothing is under way')
    end,
  },
  {
    "the program's own reason is passed on",
    function()
      local public = vim.fn.tempname()
      assert(uv.fs_mkdir(public, 493)) -- 0755: others may enter
      vim.g.cupola = { command = { support.binary }, socket = public .. '/v1.sock', target = { kind = 'emulator' } }
      vim.cmd('Cupola status')
      support.wait_for_notification('can be entered by others')
    end,
  },
  {
    'a call that is cancelled before the line is there is not made',
    function()
      daemon.shared:close()
      local reason
      local call = daemon.shared:call('daemon/status', {}, { on_done = function(error) reason = error end })
      call.cancel()
      support.wait('its ending', function() return reason end)
      support.equal(reason.data.kind, 'cancelled')
    end,
  },
  {
    'a daemon that is suspended is not waited for without end',
    function()
      local id, limit = support.daemon_id(), daemon.INTRODUCTION_LIMIT
      daemon.shared:close()
      daemon.INTRODUCTION_LIMIT = 50
      uv.kill(id, 'sigstop')
      vim.cmd('Cupola status')
      support.wait_for_notification(('kill -CONT %d'):format(id))
      uv.kill(id, 'sigcont')
      daemon.INTRODUCTION_LIMIT = limit
      support.equal(support.daemon_id(), id)
    end,
  },
  {
    'the daemon hears who calls, and says what it can do',
    function()
      support.call('daemon/status')
      local said = daemon.shared.introduction
      support.equal(said.protocolVersion, 1)
      assert(vim.tbl_contains(said.capabilities.methods, 'invoke'))
    end,
  },
}
