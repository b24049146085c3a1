-- Defines `:Cupola` and nothing else: the rest is loaded when it is first used.
if vim.g.loaded_cupola then
  return
end
vim.g.loaded_cupola = true

vim.api.nvim_create_user_command('Cupola', function(command)
  require('cupola.commands').run(command)
end, {
  nargs = '*',
  range = true,
  desc = 'Call a Microsoft Foundry hosted agent through Cupola',
  complete = function(word, line, column)
    return require('cupola.commands').complete(word, line, column)
  end,
})
