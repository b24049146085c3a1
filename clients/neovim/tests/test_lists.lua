-- Sessions, files and logs in buffers.
local support = require('support')

--- A user with a session, made by a question.
local function user_with_session(name)
  support.as_user(name)
  vim.cmd('Cupola invoke hello from ' .. name)
  support.wait_for_text('answers', 'echo: hello from ' .. name)
  return support.call('sessions/show', { target = { kind = 'emulator' }, isolation = { userKey = name } }).agent_session_id
end

local function local_file(text)
  local file = vim.fn.tempname() .. '.txt'
  vim.fn.writefile(vim.split(text, '\n'), file, 'b')
  return file
end

return {
  {
    'sessions are listed, made, chosen, stopped and deleted',
    function()
      local first = user_with_session('lister')
      vim.cmd('Cupola sessions')
      support.wait_for_text('sessions', '* ' .. first)
      support.has(support.text('sessions'), 'Sessions of notes (emulator), user key set')
      support.press('sessions', 'c')
      support.wait_for_text('sessions', '  ' .. first)
      support.press('sessions', '<CR>', first)
      support.wait_for_text('sessions', '* ' .. first)
      support.press('sessions', 's', first)
      support.wait_for_notification(('session %s is stopped'):format(first))
      support.choosing('Keep', function() support.press('sessions', 'd', first) end)
      support.choosing('Delete', function() support.press('sessions', 'd', first) end)
      support.wait('the session to go', function() return not support.text('sessions'):find(first, 1, true) end)
    end,
  },
  {
    'one action needs no list',
    function()
      support.as_user('actor')
      vim.cmd('Cupola sessions create session-by-name')
      support.wait_for_notification('session session-by-name is made')
      vim.cmd('Cupola sessions stop session-by-name')
      support.wait_for_notification('session session-by-name is stopped')
      vim.cmd('Cupola sessions use session-that-is-not')
      support.equal(support.wait_for_notification('session-that-is-not').level, vim.log.levels.ERROR)
      vim.cmd('Cupola sessions delete')
      support.wait_for_notification('say which session')
    end,
  },
  {
    'a file is sent, listed, opened, changed, written back, fetched and deleted',
    function()
      user_with_session('filer')
      vim.cmd('Cupola files upload ' .. local_file('one\nthree\n') .. ' data/words.txt')
      support.wait_for_notification('sent as data/words.txt, 10 bytes')
      vim.cmd('Cupola files')
      support.wait_for_text('files', 'data/')
      support.press('files', '<CR>', 'data/')
      support.wait_for_text('files', 'words.txt')
      support.press('files', '<CR>', 'words.txt')
      support.wait_for_text('file/', 'one\nthree')
      vim.api.nvim_buf_set_lines(0, 1, 1, false, { 'two' })
      support.equal(vim.bo.modified, true)
      vim.cmd('write')
      support.wait_for_notification('data/words.txt sent, 14 bytes')
      support.equal(vim.bo.modified, false)
      local copy = vim.fn.tempname()
      vim.cmd('Cupola files download data/words.txt ' .. copy)
      support.wait_for_notification('fetched to ' .. copy)
      support.equal(vim.fn.readfile(copy, 'b'), { 'one', 'two', 'three', '' })
      support.press('files', '-')
      support.wait_for_text('files', 'data/')
      support.choosing('Delete', function() vim.cmd('Cupola files delete data/') end)
      support.wait_for_notification('data is deleted')
    end,
  },
  {
    'a file keeps its line ends, and its missing last one',
    function()
      user_with_session('line-ends')
      for name, text in pairs({ unix = 'a\nb\n', dos = 'a\r\nb\r\n', none = 'a\nb', empty = '' }) do
        vim.cmd(('Cupola files upload %s %s'):format(local_file(text), name))
        support.wait_for_notification(('sent as %s, '):format(name))
        vim.cmd('Cupola files open ' .. name)
        support.wait('the file', function() return vim.fn.expand('%:t') == name end)
        vim.cmd('write')
        support.wait_for_notification(('%s sent, %d bytes'):format(name, #text))
      end
    end,
  },
  {
    'opening a file again keeps what was not written yet',
    function()
      user_with_session('unsaved')
      vim.cmd('Cupola files upload ' .. local_file('theirs') .. ' u.txt')
      support.wait_for_notification('sent as u.txt')
      vim.cmd('Cupola files open u.txt')
      support.wait_for_text('file/', 'theirs')
      vim.api.nvim_buf_set_lines(support.buffer('file/'), 0, -1, false, { 'mine' })
      vim.cmd('Cupola files open u.txt')
      support.wait_for_notification('u.txt is open and not written yet')
      support.equal(support.text('file/'), 'mine')
    end,
  },
  {
    'an open file goes back to whom it came from, whoever is chosen meanwhile',
    function()
      user_with_session('keeper')
      vim.cmd('Cupola files upload ' .. local_file('mine\n') .. ' mine.txt')
      support.wait_for_notification('sent as mine.txt')
      vim.cmd('Cupola files open mine.txt')
      support.wait_for_text('file/', 'mine')
      user_with_session('other')
      vim.api.nvim_set_current_win(vim.fn.bufwinid(support.buffer('file/')))
      vim.api.nvim_buf_set_lines(0, 0, -1, false, { 'still mine' })
      vim.cmd('write')
      support.wait_for_notification('mine.txt sent')
      vim.cmd('Cupola files open mine.txt')
      support.wait_for_notification("'mine.txt' was not found")
    end,
  },
  {
    'a file that is here already is replaced only when that is said',
    function()
      user_with_session('careful')
      vim.cmd('Cupola files upload ' .. local_file('theirs') .. ' a.txt')
      support.wait_for_notification('sent as a.txt')
      local mine = local_file('mine')
      support.choosing('Keep', function() vim.cmd('Cupola files download a.txt ' .. mine) end)
      support.call('daemon/status')
      support.equal(vim.fn.readfile(mine), { 'mine' })
      support.choosing('Replace', function() vim.cmd('Cupola files download a.txt ' .. mine) end)
      support.wait_for_notification('a.txt fetched')
      support.equal(vim.fn.readfile(mine), { 'theirs' })
    end,
  },
  {
    'a run that is left goes on, and is found, followed and cancelled',
    function()
      support.as_user('runner')
      vim.cmd('Cupola invoke --detach slow 500 20')
      support.wait_for_text('answers', 'tick0')
      require('cupola.daemon').shared:close()
      vim.cmd('bwipeout! ' .. support.buffer('answers'))
      vim.cmd('Cupola runs')
      support.wait_for_text('runs', 'running')
      support.press('runs', '<CR>', 'running')
      support.wait_for_text('answers', '\ntick0 tick1 tick2')
      support.press('runs', 'x', 'running')
      support.wait_for_text('runs', 'cancelled')
      support.wait_for_text('answers', '*cancelled*')
      support.as_user('runner-2')
      vim.cmd('Cupola runs')
      support.wait_for_text('runs', 'Runs of')
      support.lacks(support.text('runs'), 'run-')
    end,
  },
  {
    'a log is followed until its buffer is closed',
    function()
      user_with_session('watcher')
      vim.cmd('Cupola monitor')
      local text = support.wait_for_text('log', 'POST /responses 200')
      support.has(text, '-- session is Running')
      vim.cmd('Cupola invoke hello again')
      support.wait('a second line', function()
        return select(2, support.text('log'):gsub('POST /responses 200', '')) == 2
      end)
      support.wait('following alone', function() return support.call('daemon/status').requests == 2 end)
      support.press('log', 'q')
      support.wait('the end of following', function() return support.call('daemon/status').requests == 1 end)
      support.equal(support.buffer('log'), nil)
    end,
  },
  {
    'cancel stops a log and leaves what was read',
    function()
      user_with_session('stopper')
      vim.cmd('Cupola monitor')
      support.wait_for_text('log', 'POST /responses 200')
      vim.cmd('Cupola cancel')
      support.has(support.wait_for_text('log', '-- stopped'), 'POST /responses 200')
    end,
  },
  {
    'status says what calls go to and how the daemon is',
    function()
      support.as_user('asker')
      vim.cmd('Cupola status')
      support.has(support.wait_for_notification('process ').text, 'notes (emulator), user key set')
    end,
  },
}
