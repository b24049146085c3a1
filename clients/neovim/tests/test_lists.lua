-- Sessions, files and logs in buffers.
local answers = require('cupola.answers')
local support = require('support')

--- A user with a session, made by a question.
local function user_with_session(name)
  support.as_user(name)
  vim.cmd('Cupola invoke hello from ' .. name)
  support.wait_for_text('answers', 'echo: hello from ' .. name)
  -- The last text comes before the answer's end, and what is under way is cancelled and counted.
  support.wait('the end of the answer', function() return answers.under_way() == 0 end)
  return support.call('sessions/show', { target = { kind = 'emulator' }, isolation = { userKey = name } }).agent_session_id
end

local function local_file(text)
  local file = vim.fn.tempname() .. '.txt'
  vim.fn.writefile(vim.split(text, '\n'), file, 'b')
  return file
end

local function large_directory(files, bytes)
  local directory, uv = vim.fn.tempname(), vim.uv or vim.loop
  vim.fn.mkdir(directory)
  for number = 1, files do
    local file = assert(uv.fs_open(directory .. '/' .. number, 'w', 384))
    assert(uv.fs_ftruncate(file, bytes))
    uv.fs_close(file)
  end
  return directory
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
    'an open file goes back to the session it came from, even if another one was chosen meanwhile',
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
    'a directory is sent and fetched whole, and what was left out is said',
    function()
      user_with_session('mover')
      local directory = vim.fn.tempname() .. '/käse'
      vim.fn.mkdir(directory .. '/deep er', 'p')
      vim.fn.writefile({ 'one' }, directory .. '/one.txt')
      vim.fn.writefile({ 'two' }, directory .. '/deep er/two.txt')
      vim.loop.fs_symlink('/etc/passwd', directory .. '/link')
      vim.cmd('Cupola files upload ' .. directory)
      local sent = support.wait_for_notification('sent as käse, 2 files, 8 bytes')
      support.has(sent.text, 'left out: ' .. directory .. '/link')
      support.equal(sent.level, vim.log.levels.WARN)
      local copy = vim.fn.tempname()
      vim.cmd('Cupola files download käse/ ' .. copy)
      support.wait_for_notification('käse fetched to ' .. copy .. ', 2 files, 8 bytes')
      support.equal(vim.fn.readfile(copy .. '/deep er/two.txt'), { 'two' })
      vim.cmd('Cupola files')
      support.wait_for_text('files', 'käse/')
      vim.cmd('lcd ' .. copy)
      support.press('files', 'D', 'käse/')
      support.wait('the copy of the directory', function() return vim.fn.filereadable(copy .. '/käse/one.txt') == 1 end)
      vim.fn.writefile({ 'mine' }, copy .. '/käse/one.txt')
      support.choosing('Keep', function() support.press('files', 'D', 'käse/') end)
      support.call('daemon/status')
      support.equal(vim.fn.readfile(copy .. '/käse/one.txt'), { 'mine' })
    end,
  },
  {
    'a transfer is cancelled',
    function()
      user_with_session('impatient')
      local id = support.daemon_id()
      -- A directory of two GB, in sparse files: the upload cannot end before the daemon reads the cancellation.
      vim.cmd('Cupola files upload ' .. large_directory(50, 40 * 1024 * 1024))
      vim.cmd('Cupola cancel')
      support.wait_for_notification('1 cancelled')
      support.wait_for_notification('the call was cancelled')
      support.equal(support.daemon_id(), id)
    end,
  },
  {
    'what an isolation continues is listed and forgotten',
    function()
      local session = user_with_session('forgetter')
      vim.cmd('Cupola partitions')
      support.wait_for_text('partitions', '* ')
      support.has(support.text('partitions'), session)
      support.choosing('Forget', function() support.press('partitions', 'd', '* ') end)
      support.wait_for_notification('the next call starts fresh')
      support.wait('the partition to go', function() return not support.text('partitions'):find(session, 1, true) end)
      vim.cmd('Cupola partitions forget')
      support.wait_for_notification('nothing was saved')
    end,
  },
  {
    'a run that is left continues, and is found, followed and cancelled',
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
  {
    'the doctor looks at the whole way, and says what to do',
    function()
      support.as_user('patient')
      vim.cmd('Cupola doctor')
      support.has(support.wait_for_text('doctor', 'emulator/notes answers'), 'On the way to notes (emulator), user key set')
      vim.cmd('Cupola isolation clear')
      vim.cmd('Cupola doctor')
      support.wait_for_text('doctor', '\n' .. (' '):rep(21) .. 'pass `:Cupola isolation user`; without it')
      vim.cmd('Cupola target emulator=http://127.0.0.1:1')
      vim.cmd('Cupola doctor')
      support.wait_for_text('doctor', 'error    target')
    end,
  },
  {
    'tokens are spoken of, never said, and forgotten',
    function()
      user_with_session('authentic')
      vim.cmd('Cupola auth')
      support.has(support.wait_for_notification('credential developerTools').text, 'emulator for https://ai.azure.com/.default: valid until ')
      vim.cmd('Cupola auth clear')
      support.wait_for_notification('1 token is forgotten')
      vim.cmd('Cupola auth')
      support.wait_for_notification('no token is held')
      vim.cmd('Cupola auth dance')
      support.wait_for_notification('say nothing, or clear')
    end,
  },
}
