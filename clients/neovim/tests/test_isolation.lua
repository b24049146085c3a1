-- Whose state is seen, and what is never shown.
local support = require('support')

--- Another Neovim that is typed into, with its own history file.
local function typing(callback)
  local shada = vim.fn.tempname()
  local command = { vim.v.progpath, '--embed', '--headless', '-u', 'NONE', '-i', shada }
  local editor = vim.fn.jobstart(command, { rpc = true })
  local function lua(code, ...)
    return vim.rpcrequest(editor, 'nvim_exec_lua', code, { ... })
  end
  lua([[
    local plugin, settings = ...
    vim.opt.runtimepath:prepend(plugin)
    vim.g.cupola = settings
    vim.cmd('runtime plugin/cupola.lua')
    shown = {}
    vim.notify = function(text) table.insert(shown, text) end
  ]], support.plugin, { command = { support.binary }, target = { kind = 'emulator' } })
  local fine, reason = pcall(callback, function(keys)
    vim.rpcrequest(editor, 'nvim_input', keys)
  end, lua)
  if fine then
    vim.rpcnotify(editor, 'nvim_command', 'qall!')
    vim.fn.jobwait({ editor }, 5000)
  end
  vim.fn.jobstop(editor)
  assert(fine, reason)
  local file = io.open(shada, 'rb')
  return file and file:read('*a') or ''
end

return {
  {
    'users are kept apart',
    function()
      support.as_user('acme')
      vim.cmd('Cupola invoke remember we are acme')
      support.wait_for_text('answers', 'Remembered: we are acme')
      support.as_user('contoso')
      vim.cmd('Cupola invoke what do you remember?')
      support.wait_for_text('answers', 'Nothing yet')
      support.as_user('acme')
      vim.cmd('Cupola invoke what do you remember?')
      support.wait_for_text('answers', '- we are acme')
    end,
  },
  {
    'what is not named is not set: nothing of the last user stays',
    function()
      vim.cmd('Cupola isolation user=acme chat=one label=mine')
      support.has(require('cupola').status(), 'user key set, chat key set, chat label mine')
      vim.cmd('Cupola isolation user=contoso')
      support.lacks(require('cupola').status(), 'chat')
      vim.cmd('Cupola isolation clear')
      support.has(require('cupola').status(), 'no isolation')
    end,
  },
  {
    'keys that are typed are not echoed and reach no history, message or file',
    function()
      local file = typing(function(input, lua)
        input(':Cupola isolation<CR>')
        input('hush-user<CR>')
        input('hush-chat<CR>')
        support.wait('the isolation', function()
          return (lua('return shown[1]') or ''):find('user key set, chat key set', 1, true)
        end)
        input(':Cup isolation user=hush-typed<CR>')
        support.wait('the second isolation', function() return lua('return #shown') == 2 end)
        input(':Cupola status<CR>')
        local told = lua([[
          local said = { vim.fn.execute('messages'), vim.fn.execute('history :'), vim.fn.execute('history @') }
          vim.list_extend(said, shown)
          table.insert(said, vim.inspect(require('cupola.scope').current()))
          return table.concat(said, '\n')
        ]])
        support.lacks(told, 'hush')
        support.has(told, 'Cupola status')
        lua('vim.cmd("wshada!")')
      end)
      support.has(file, 'Cupola status')
      support.lacks(file, 'hush')
    end,
  },
  {
    'a word that does not belong to an isolation is refused without repeating it',
    function()
      vim.cmd('Cupola isolation usr=hush')
      support.has(support.wait_for_notification('say user, chat').text, 'model')
      support.lacks(vim.inspect(support.notifications), 'hush')
    end,
  },
  {
    'keys come from the environment and from settings, which may be functions',
    function()
      vim.env.CUPOLA_USER_ISOLATION_KEY = 'from-environment'
      require('cupola').setup()
      local from_environment = require('cupola').status()
      vim.env.CUPOLA_USER_ISOLATION_KEY = nil
      support.has(from_environment, 'user key set')
      require('cupola').setup({ isolation = function() return { chat = 'a label' } end })
      support.has(require('cupola').status(), 'chat label a label')
    end,
  },
  {
    'a bound line reaches nothing else, is closed when another user is chosen, and ends what is under way first',
    function()
      vim.g.cupola = { command = { support.binary }, target = { kind = 'emulator' }, bind = true }
      require('cupola').setup()
      support.as_user('bound')
      vim.cmd('Cupola invoke slow 500 20')
      support.wait_for_text('answers', 'tick0')
      local bound = require('cupola.scope').current()
      support.as_user('next')
      vim.cmd('Cupola status')
      support.wait_for_notification('connections')
      support.wait('both, and this one', function() return support.call('daemon/status').connections == 3 end)
      local heard = #support.text('answers')
      support.wait('more words', function() return #support.text('answers') > heard end)
      vim.cmd('Cupola cancel')
      support.wait('the first line to close', function() return support.call('daemon/status').connections == 2 end)
      local reason
      bound.call('sessions/list', {}, { on_done = function(error) reason = error or 'fine' end })
      support.wait('an answer in the old scope', function() return reason end)
      support.equal(reason, 'fine')
      reason = nil
      bound.call('agents/list', {}, { on_done = function(error) reason = error or 'fine' end })
      support.wait('an answer in the old scope', function() return reason end)
      support.equal(reason.data.kind, 'outOfBounds')
    end,
  },
  {
    'with bound lines, too, agents are completed and the doctor looks',
    function()
      vim.g.cupola = { command = { support.binary }, target = { kind = 'emulator' }, bind = true }
      require('cupola').setup()
      support.wait('the agents', function()
        return vim.tbl_contains(vim.fn.getcompletion('Cupola target emulator ', 'cmdline'), 'notes-required')
      end)
      vim.cmd('Cupola doctor')
      support.wait_for_text('doctor', 'emulator/notes answers')
    end,
  },
  {
    'with bound lines, too, files are sent, opened, written back and fetched, also through links',
    function()
      vim.g.cupola = { command = { support.binary }, target = { kind = 'emulator' }, bind = true }
      require('cupola').setup()
      support.as_user('bound filer')
      vim.cmd('Cupola invoke hello')
      support.wait_for_text('answers', 'echo: hello')
      local directory = vim.fn.tempname()
      vim.fn.mkdir(directory .. '/real', 'p')
      vim.fn.writefile({ 'one' }, directory .. '/real/words.txt')
      vim.fn.system({ 'ln', '-s', 'real/words.txt', directory .. '/link.txt' })
      vim.fn.system({ 'ln', '-s', 'real', directory .. '/way' })
      vim.cmd(('Cupola files upload %s/link.txt a.txt'):format(directory))
      support.wait_for_notification('sent as a.txt, 4 bytes')
      vim.cmd('Cupola files open a.txt')
      support.wait_for_text('file/', 'one')
      vim.api.nvim_buf_set_lines(0, 1, 1, false, { 'two' })
      vim.cmd('write')
      support.wait_for_notification('a.txt sent, 8 bytes')
      vim.cmd(('Cupola files download a.txt %s/way/b.txt'):format(directory))
      support.wait_for_notification('fetched to')
      support.equal(vim.fn.readfile(directory .. '/real/b.txt'), { 'one', 'two' })
      local reason
      local params = { localPath = directory .. '/real/words.txt' }
      require('cupola.scope').current().call('files/upload', params, { on_done = function(error) reason = error end })
      support.wait('a refusal', function() return reason end)
      support.equal(reason.data.kind, 'outOfBounds')
    end,
  },
  {
    'the target comes from the environment where no setting names one',
    function()
      vim.g.cupola = { command = { support.binary } }
      require('cupola').setup()
      support.equal(require('cupola.scope').current().target.kind, 'directory')
      vim.env.CUPOLA_EMULATOR = '1'
      require('cupola').setup()
      local target = require('cupola.scope').current().target
      vim.env.CUPOLA_EMULATOR = nil
      support.equal(target.kind, 'emulator')
    end,
  },
}
