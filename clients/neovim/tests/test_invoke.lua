-- Questions and answers.
local support = require('support')
local uv = vim.uv or vim.loop

--- A buffer with these lines in the current window.
local function with_lines(lines)
  vim.cmd('enew!')
  vim.bo.buftype = 'nofile'
  vim.api.nvim_buf_set_lines(0, 0, -1, false, lines)
end

--- The timer's ticks while `condition` does not hold.
local function ticks_until(what, condition)
  local ticks, timer = 0, uv.new_timer()
  timer:start(0, 5, vim.schedule_wrap(function() ticks = ticks + 1 end))
  support.wait(what, condition)
  timer:close()
  return ticks
end

return {
  {
    'the answer stands below the question, and the cursor stays where it was',
    function()
      support.as_user('streaming')
      with_lines({ 'my text' })
      local window = vim.api.nvim_get_current_win()
      vim.cmd('Cupola invoke slow 5 10')
      support.equal(vim.api.nvim_get_current_win(), window)
      local text = support.wait_for_text('answers', 'tick0 tick1 tick2 tick3 tick4')
      support.has(text, '## notes (emulator), user key set\n\n> slow 5 10\n\ntick0')
      support.equal(vim.bo[support.buffer('answers')].filetype, 'markdown')
    end,
  },
  {
    'what the agent asks is shown whole, asked, and answered once',
    function()
      support.as_user('asking')
      local prompts, opened = {}, nil
      local select, open = vim.ui.select, vim.ui.open
      vim.ui.select = function(choices, options, on_choice)
        table.insert(prompts, options.prompt)
        on_choice(choices[1], 1)
      end
      vim.ui.open = function(url) opened = url end
      vim.cmd('Cupola invoke ask delete_file {"path":"notes.txt"}')
      local text = support.wait_for_text('answers', 'Called: delete_file')
      support.has(text, 'The agent asks to call the tool delete_file of the server notes.')
      support.has(text, '    {"path":"notes.txt"}')
      support.has(text, '> Allow delete_file once')
      support.equal(prompts, { 'Call the tool delete_file with {"path":"notes.txt"}?' })
      vim.cmd('Cupola invoke consent')
      support.wait('the link', function() return opened ~= nil end)
      vim.ui.select, vim.ui.open = select, open
      support.equal(opened, 'https://consent.example/authorize?server=notes')
    end,
  },
  {
    'reasoning and tool calls stand above the answer, folded',
    function()
      support.as_user('thinking')
      for _, case in ipairs({ { 'reason', 'Reasoning' }, { 'tool', 'Tool: ' } }) do
        vim.cmd('Cupola invoke ' .. case[1])
        local buffer
        support.wait('what the agent did', function()
          buffer = support.buffer('answers')
          return buffer and table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n'):find('> ' .. case[2], 1, true)
        end)
        local closed
        vim.api.nvim_win_call(vim.fn.win_findbuf(buffer)[1], function()
          closed = vim.fn.foldclosed(vim.fn.search('> ' .. case[2], 'nw'))
        end)
        support.equal(closed > 0, true)
        support.wait('the answer', function() return require('cupola.answers').under_way() == 0 end)
      end
    end,
  },
  {
    'timers fire while an answer streams: nothing waits for it',
    function()
      support.as_user('ticking')
      vim.cmd('Cupola invoke slow 500 100')
      support.wait_for_text('answers', 'tick0')
      local timer, ticks = uv.new_timer(), 0
      timer:start(0, 5, vim.schedule_wrap(function() ticks = ticks + 1 end))
      support.wait('many ticks', function() return ticks >= 20 end)
      timer:close()
      support.equal(require('cupola.answers').under_way(), 1)
    end,
  },
  {
    'thirty thousand words arrive whole, and the editor gets its turn between them',
    function()
      support.as_user('flood')
      local words = {}
      for number = 1, 30000 do
        words[number] = 'w' .. number
      end
      local text = table.concat(words, ' ')
      local done
      require('cupola').call('invoke', { input = 'stream ' .. text, textOnly = true }, function(_, result)
        done = result
      end, function() end)
      support.wait('the answer', function() return done end)
      support.equal(done.text, text)
      require('cupola').invoke('stream ' .. text)
      support.wait_for_text('answers', '\nw1 w2')
      local ticks = ticks_until('the last word', function()
        return support.text('answers'):find('\nw1 w2 [w%d ]* w30000\n')
      end)
      assert(ticks > 2, ('%d ticks'):format(ticks))
    end,
  },
  {
    'a selection is sent exactly as selected, below the words of the command',
    function()
      support.as_user('selecting')
      local lines = { 'one two', 'käse drei', 'last line' }
      for _, case in ipairs({
        { 'ggwvjl', 'two\nkäse d' },
        { 'ggVj', 'one two\nkäse drei' },
        { 'gglljl' .. vim.api.nvim_replace_termcodes('<C-v>', true, true, true) .. 'jl', 'e \nt ' },
        { 'G$vh', 'ne' },
      }) do
        with_lines(lines)
        vim.cmd('normal! ' .. case[1] .. vim.api.nvim_replace_termcodes('<Esc>', true, true, true))
        vim.cmd("'<,'>Cupola invoke about this:")
        support.wait_for_text('answers', 'echo: about this:\n\n' .. case[2] .. '\n')
        vim.cmd('bwipeout! ' .. support.buffer('answers'))
      end
      with_lines(lines)
      vim.cmd('2,3Cupola invoke')
      support.wait_for_text('answers', 'echo: käse drei\nlast line\n')
    end,
  },
  {
    'several lines can be written in a buffer and are sent when it is written',
    function()
      support.as_user('composing')
      vim.cmd('Cupola invoke --new-conversation')
      vim.api.nvim_buf_set_lines(0, 0, -1, false, { 'first', '', 'third' })
      vim.cmd('Cupola invoke')
      support.equal(support.text('question'), 'first\n\nthird', 'what was written already')
      vim.cmd('write')
      support.has(support.wait_for_text('answers', 'echo: first\n\nthird'), '> first\n>\n> third\n')
      support.equal(support.buffer('question'), nil)
    end,
  },
  {
    'two answers at once do not mix',
    function()
      support.as_user('first-of-two')
      vim.cmd('Cupola invoke slow 8 20')
      support.as_user('second-of-two')
      vim.cmd('Cupola invoke stream a b c d')
      support.wait_for_text('answers', '> stream a b c d\n\na b c d\n')
      support.wait_for_text('answers', '\ntick0 tick1 tick2 tick3 tick4 tick5 tick6 tick7\n')
    end,
  },
  {
    'the answer streams, and cancel ends its run, here and at the daemon',
    function()
      support.as_user('cancelling')
      vim.cmd('Cupola invoke slow 501 100')
      support.wait_for_text('answers', 'tick1')
      vim.cmd('Cupola cancel')
      support.wait_for_text('answers', '*cancelled*')
      support.wait_for_notification('1 cancelled')
      support.wait_for_end('slow 501 100')
      vim.cmd('Cupola cancel')
      support.wait_for_notification('nothing is under way')
    end,
  },
  {
    'dropping the answers ends the run',
    function()
      support.as_user('dropping')
      vim.cmd('Cupola invoke slow 502 100')
      support.wait_for_text('answers', 'tick0')
      vim.cmd('bwipeout! ' .. support.buffer('answers'))
      support.wait_for_end('slow 502 100')
    end,
  },
  {
    'a failure is a notification with the hint, and stands where the answer would be',
    function()
      vim.cmd('Cupola target emulator notes-required')
      vim.cmd('Cupola invoke hello')
      local shown = support.wait_for_notification('hint: no isolation key was given')
      support.equal(shown.level, vim.log.levels.ERROR)
      support.has(shown.text, "requires the header 'x-agent-user-isolation-key'")
      support.wait_for_text('answers', 'hint: no isolation key was given')
    end,
  },
  {
    'an answer that does not complete says so',
    function()
      support.as_user('failing')
      vim.cmd('Cupola invoke fail')
      support.wait_for_text('answers', '*failed: ')
      vim.cmd('Cupola invoke incomplete')
      support.wait_for_text('answers', '*incomplete')
    end,
  },
  {
    'an answer that asks and then fails or is cut off says so, one that only waits does not',
    function()
      for status, remark in pairs({ failed = '*failed: it broke*', truncated = '*truncated: it broke*', incomplete = false }) do
        local result = { status = status, text = 'said', failure = { message = 'it broke' }, questions = { { kind = 'input' } } }
        local scope = {
          label = status,
          call = function(_, _, handlers)
            vim.schedule(function() handlers.on_done(nil, result) end)
            return { cancel = function() end }
          end,
        }
        require('cupola.answers').stream(scope, 'invoke', {}, 'question')
        local text = support.wait_for_text('answers', 'The agent waits for more information')
        support.wait('the end of the answer', function() return require('cupola.answers').under_way() == 0 end)
        if remark then
          support.wait_for_text('answers', remark)
        else
          support.lacks(support.text('answers'), 'it broke')
        end
        vim.cmd('bwipeout! ' .. support.buffer('answers'))
      end
    end,
  },
  {
    'empty input, and input that is not text, is not sent',
    function()
      with_lines({ '   ' })
      vim.cmd('1Cupola invoke')
      support.wait_for_notification('there is nothing to send')
      with_lines({ 'a\255b' })
      vim.cmd('1Cupola invoke')
      support.wait_for_notification('not valid UTF-8')
      support.equal(support.buffer('answers'), nil)
    end,
  },
}
