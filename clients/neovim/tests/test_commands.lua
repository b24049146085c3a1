-- The command line, completion, help and health.
local support = require('support')
local uv = vim.uv or vim.loop

local function completed(line)
  return vim.fn.getcompletion(line, 'cmdline')
end

return {
  {
    'subcommands, their words, sessions and files are completed',
    function()
      support.as_user('completer')
      support.equal(completed('Cupola s'), { 'sessions', 'status' })
      support.equal(completed('Cupola files do'), { 'download' })
      support.equal(completed('Cupola isolation us'), { 'user' })
      vim.cmd('Cupola sessions create session-to-complete')
      support.wait_for_notification('session-to-complete is made')
      support.equal(completed('Cupola sessions use session-'), { 'session-to-complete' })
      local file = vim.fn.tempname()
      vim.fn.writefile({ 'x' }, file)
      vim.cmd('Cupola files upload ' .. file .. ' with\\ blank.txt')
      support.wait_for_notification('with blank.txt')
      support.equal(completed('Cupola files open with'), { 'with\\ blank.txt' })
      completed('Cupola target emulator ')
      support.wait('the agents', function() return vim.tbl_contains(completed('Cupola target emulator '), 'notes-required') end)
      support.equal(completed('Cupola files upload ' .. file), { file })
    end,
  },
  {
    'completion does not wait for a daemon that does not answer',
    function()
      support.as_user('waiter')
      local id = support.daemon_id()
      uv.kill(id, 'sigstop')
      -- A call that waited would hang until the end of all tests, because nothing resumes the daemon before.
      local names = completed('Cupola sessions use ')
      vim.cmd('Cupola invoke are you there?')
      uv.kill(id, 'sigcont')
      support.equal(names, {})
      support.wait_for_text('answers', 'echo: are you there?')
    end,
  },
  {
    'names of one user are not offered to another',
    function()
      support.as_user('owner')
      vim.cmd('Cupola sessions create session-of-owner')
      support.wait_for_notification('session-of-owner is made')
      support.as_user('stranger')
      completed('Cupola sessions use ')
      support.call('daemon/status')
      support.equal(completed('Cupola sessions use '), {})
    end,
  },
  {
    'an unknown command is reported with the list of commands',
    function()
      vim.cmd('Cupola dance')
      support.has(support.wait_for_notification('there is no :Cupola dance').text, 'invoke, isolation')
      vim.cmd('Cupola sessions dance')
      support.wait_for_notification('one of: create, delete')
      vim.cmd('Cupola files dance')
      support.wait_for_notification('one of: delete, download')
      vim.cmd('Cupola target nowhere')
      support.wait_for_notification('say emulator')
    end,
  },
  {
    'targets are understood',
    function()
      local project = 'https://acct.services.ai.azure.com/api/projects/proj'
      local agent = project .. '/agents/my-agent/endpoint/protocols/openai/responses'
      for words, expected in pairs({
        ['emulator'] = { kind = 'emulator' },
        ['emulator=http://127.0.0.1:8787 mine'] = { kind = 'emulator', url = 'http://127.0.0.1:8787', agent = 'mine' },
        ['local:9000'] = { kind = 'local', port = 9000 },
        [project .. ' my-agent'] = { kind = 'project', endpoint = project, agent = 'my-agent' },
        [agent] = { kind = 'agentEndpoint', url = agent },
        ['directory'] = { kind = 'directory', path = vim.fn.getcwd() },
      }) do
        vim.cmd('Cupola target ' .. words)
        support.equal(require('cupola.scope').current().target, expected)
      end
      vim.cmd('Cupola target emulator')
      vim.cmd('Cupola target agent notes-identity')
      support.equal(require('cupola.scope').current().target, { kind = 'emulator', agent = 'notes-identity' })
    end,
  },
  {
    'every subcommand has a help tag, and the help has no broken links',
    function()
      local tags = support.plugin .. '/doc/tags'
      vim.cmd('helptags ' .. support.plugin .. '/doc')
      local known = table.concat(vim.fn.readfile(tags), '\n')
      vim.fn.delete(tags)
      for _, name in ipairs(require('cupola.commands').NAMES) do
        support.has(known, (':Cupola-%s\t'):format(name))
      end
      local help = table.concat(vim.fn.readfile(support.plugin .. '/doc/cupola.txt'), '\n')
      for link in help:gmatch('|([^|%s]*[Cc]upola[^|%s]*)|') do
        support.has('\n' .. known, ('\n%s\t'):format(link))
      end
    end,
  },
  {
    'the commands of the page work, in their order',
    function()
      local page = table.concat(vim.fn.readfile(vim.fn.fnamemodify(support.plugin, ':h:h') .. '/docs/neovim.md'), '\n')
      local commands = vim.split(page:match('```vim\n(:Cupola.-)\n```'), '\n')
      assert(#commands > 3)
      for _, command in ipairs(commands) do
        local asked = command:match('^:Cupola invoke (.*)')
        vim.cmd(command)
        if asked then
          support.wait_for_text('answers', '> ' .. asked .. '\n')
          support.wait('the answer', function() return require('cupola.answers').under_way() == 0 end)
        end
      end
      local answers = support.text('answers')
      support.has(answers, '- the launch code is 4711')
      support.has(answers, 'Nothing yet')
    end,
  },
  {
    'the status counts in the singular and the plural',
    function()
      support.call('daemon/status')
      vim.cmd('Cupola status')
      support.wait_for_notification('1 connection, 0 runs')
    end,
  },
  {
    'checkhealth finds all well, and says what is not',
    function()
      vim.cmd('silent checkhealth cupola')
      local report = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
      for _, part in ipairs({ 'OK', 'program: ' .. support.binary, 'daemon: version', 'calls go to notes (emulator)', 'emulator/notes answers' }) do
        support.has(report, part)
      end
      support.lacks(report, 'ERROR')
      -- What was not checked is not shown as well.
      local skipped = report:match('[^\n]*its own secret signs')
      support.has(skipped, '- ')
      support.has(skipped, 'credential: the emulator takes tokens')
      support.lacks(skipped, 'OK')
      require('cupola.daemon').shared:close()
      vim.g.cupola = { command = { 'cupola-that-is-not-there' } }
      vim.cmd('silent checkhealth cupola')
      support.has(table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n'), 'is not executable')
    end,
  },
}
