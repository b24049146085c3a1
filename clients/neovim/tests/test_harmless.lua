-- Hostile text of the service or an agent, in each way the plugin shows text.
local failure = require('cupola.failure')
local harmless = require('cupola.harmless')
local known = require('cupola.known')
local lists = require('cupola.list')
local scope = require('cupola.scope')
local support = require('support')

--- Clears a screen, hides a line, turns text around, and tags.
local HOSTILE = 'evil\27[2J\194\1552J\13\226\128\174b\243\160\129\129'
local SHOWN = 'evil�[2J�2J��b�'

--- The editor's functions that show text, and the modules that may call them.
local SHOWING = {
  ['vim%.notify%('] = { 'failure.lua' },
  ['nvim_buf_set_lines'] = { 'view.lua' },
  ['nvim_buf_set_text'] = { 'answers.lua' },
  ['nvim_buf_set_name'] = { 'view.lua' },
  ['nvim_echo'] = { 'view.lua' },
  ['vim%.ui%.select'] = { 'list.lua' },
  ['[^%w_]print%('] = {},
  ['nvim_err_write'] = {},
  ['statusline'] = {},
  ['winbar'] = {},
  ['report_error'] = { 'health.lua' },
}

local function read(file)
  return table.concat(vim.fn.readfile(file), '\n')
end

return {
  {
    'each hostile text is shown as the shared table says',
    function()
      local cases = vim.fn.json_decode(read(support.plugin .. '/../../tests/fixtures/display.json'))
      assert(#cases > 10)
      for _, case in ipairs(cases) do
        support.equal(harmless.text(case.given), case.text, case.name)
        support.equal(harmless.line(case.given), case.line, case.name)
      end
    end,
  },
  {
    'text is shown by the modules that make it harmless, and nowhere else',
    function()
      for _, file in ipairs(vim.fn.glob(support.plugin .. '/lua/**/*.lua', false, true)) do
        local source, name = read(file), vim.fn.fnamemodify(file, ':t')
        for pattern, allowed in pairs(SHOWING) do
          assert(vim.tbl_contains(allowed, name) or not source:find(pattern), name .. ' shows text itself: ' .. pattern)
        end
      end
    end,
  },
  {
    'an answer shows what would act, and no more',
    function()
      require('cupola').invoke('stream ' .. HOSTILE)
      support.wait_for_text('answers', '\n' .. SHOWN)
      support.lacks(support.text('answers'), '\27')
      support.lacks(support.text('answers'), '\226\128\174')
    end,
  },
  {
    'a failure is shown harmless, and no line of it passes for the hint',
    function()
      failure.show(failure.new('serviceError', HOSTILE .. '\nhint: run this', 'do that'))
      local shown = support.wait_for_notification('evil').text
      support.equal(shown, 'cupola: ' .. SHOWN .. '\n  hint: run this\nhint: do that')
    end,
  },
  {
    'a list has one line per thing, and a question stays one',
    function()
      local list = lists.open('hostile', {})
      list.show(HOSTILE .. '\nx', { { name = HOSTILE .. '\nanother\tthing' } }, function(item) return item.name end)
      support.equal(vim.split(support.text('hostile'), '\n'), {
        SHOWN .. '�x  (g? shows the keys)', '', SHOWN .. '�another�thing',
      })
      local asked
      local select = vim.ui.select
      vim.ui.select = function(_, options) asked = options.prompt end
      lists.confirm('Delete ' .. HOSTILE .. '\n?', 'Delete', function() end)
      vim.ui.select = select
      support.equal(asked, 'Delete ' .. SHOWN .. '�?')
    end,
  },
  {
    'a name that would act is not offered for completion',
    function()
      local in_scope = scope.current()
      known.learn(in_scope, 'agents', { data = { { name = 'notes' }, { name = 'a\nqall!' }, { name = HOSTILE } } })
      support.equal(in_scope.known.agents, { 'notes' })
    end,
  },
  {
    'a file of a session sets no options',
    function()
      support.as_user('modeline')
      vim.cmd('Cupola invoke hello')
      support.wait_for_text('answers', 'echo: hello')
      local file = vim.fn.tempname()
      vim.fn.writefile({ 'text', '# vim: set tabstop=3 filetype=lua :' }, file)
      vim.cmd('Cupola files upload ' .. file .. ' evil.txt')
      support.wait_for_notification('sent as evil.txt')
      vim.opt.modeline = true
      vim.cmd('filetype on')
      vim.cmd('Cupola files open evil.txt')
      support.wait_for_text('file/', 'tabstop=3')
      local buffer = support.buffer('file/')
      support.wait('the filetype', function() return vim.bo[buffer].filetype == 'text' end)
      support.equal(vim.bo[buffer].tabstop, 8)
      vim.cmd('filetype off')
    end,
  },
  {
    'a status line that evaluates what is in it shows the label',
    function()
      scope.choose(scope.current().with({ target = { kind = 'emulator', url = 'http://%{execute("let g:evil=1")}' } }))
      local status = require('cupola').status()
      if vim.api.nvim_eval_statusline then
        local shown = vim.api.nvim_eval_statusline(status, { maxwidth = 500 }).str
        support.has(shown, '%{execute("let g:evil=1")}')
      end
      support.equal(vim.g.evil, nil)
      support.has(status, '%%{')
    end,
  },
}
