" The page docs/vim.md in a real Vim, against a real daemon.
"
"     CUPOLA_BINARY=target/debug/cupola vim -u NONE -i NONE -nNes -T dumb -S tests/editors/vim.vim
"
" The code of the page is taken from the page. The last line is `N passed, M failed`.

" Far more than anything here takes, in seconds.
const s:PATIENCE = 20

" A home with nothing in it, private as the daemon wants it.
const s:home = tempname()
call mkdir(s:home, '', 0700)
let $HOME = s:home
let $CUPOLA_SOCKET = s:home .. '/v1.sock'
let $CUPOLA_STATE_DIR = s:home .. '/state'
let $PATH = fnamemodify($CUPOLA_BINARY, ':p:h') .. ':' .. $PATH

set encoding=utf-8
const s:root = expand('<sfile>:p:h:h:h')

function s:Say(line)
  call writefile([a:line], '/dev/stdout', 'a')
endfunction

" The page's code, in a file as the page says.
function s:Snippet()
  let page = readfile(expand('<script>:p:h:h:h') .. '/docs/vim.md')
  let start = index(page, '```vim')
  let file = s:home .. '/cupola.vim'
  call writefile(page[start + 1 : index(page, '```', start) - 1], file)
  return file
endfunction

function s:Text()
  return join(getbufline('cupola://answers', 1, '$'), "\n")
endfunction

function s:Wait(what, condition)
  let started = reltime()
  while !a:condition()
    if reltimefloat(reltime(started)) > s:PATIENCE
      throw 'did not happen: ' .. a:what .. '; the answers are: ' .. s:Text()
    endif
    sleep 5m
  endwhile
endfunction

function s:WaitForText(text)
  call s:Wait(a:text, {-> stridx(s:Text(), a:text) >= 0})
endfunction

" The text, and after it the blank lines that end an answer: only then may the next one be asked for.
function s:WaitForAnswer(text)
  call s:WaitForText(a:text)
  call s:Wait('the end of ' .. a:text, {-> s:Text() =~# '\n\n$'})
endfunction

" Types the two keys that :CupolaIsolation asks for.
function s:AsUser(name)
  call feedkeys(":CupolaIsolation\<CR>" .. a:name .. "\<CR>\<CR>", 'tx')
endfunction

function s:Status()
  let answer = system('cupola status -o json')
  return json_decode(answer)
endfunction

let s:tests = {}

function s:tests.an_answer_stands_below_its_question()
  CupolaInvoke slow 5 10
  call s:WaitForText("> slow 5 10\n\ntick0 tick1 tick2 tick3 tick4\n")
endfunction

function s:tests.lines_are_sent_below_the_text_and_any_character_arrives()
  new
  call setline(1, ['käse', 'und 日本'])
  1,2CupolaInvoke about:
  bwipeout!
  call s:WaitForText("> about:\n> käse\n> und 日本\n\necho: about:\nkäse\nund 日本\n")
endfunction

function s:tests.nothing_in_an_answer_acts_on_the_editor()
  let Harmless = function('<SNR>' .. s:page .. '_Harmless')
  " NUL is a line feed to Vim.
  let cases = substitute(join(readfile(s:root .. '/tests/fixtures/display.json')), '\\u0000', '\\u0001', 'g')
  for case in json_decode(cases)
    call assert_equal(case.text, Harmless(case.given), case.name)
  endfor
  execute "CupolaInvoke stream evil\e[2J\u202eb\rc\u009b1A"
  call s:WaitForText("\n\nevil\ufffd[2J\ufffdb\ufffdc\ufffd1A\n")
endfunction

function s:tests.users_are_kept_apart_and_their_keys_are_in_no_history()
  call s:AsUser('hush-acme')
  CupolaInvoke remember we are acme
  call s:WaitForAnswer('Remembered: we are acme')
  call s:AsUser('hush-contoso')
  CupolaInvoke what do you remember?
  call s:WaitForAnswer('Nothing yet')
  call s:AsUser('hush-acme')
  CupolaInvoke what do you remember?
  call s:WaitForAnswer('- we are acme')
  call assert_equal(-1, stridx(execute('history all') .. execute('messages') .. s:Text(), 'hush'))
endfunction

function s:tests.an_answer_streams_and_cancelling_ends_its_run()
  CupolaInvoke slow 500 100
  call s:WaitForText('tick1')
  CupolaCancel
  call s:WaitForText('cancelled')
  call s:Wait('no run at the daemon', {-> s:Status().runs == 0})
endfunction

function s:tests.one_answer_at_a_time()
  CupolaInvoke slow 500 100
  call s:WaitForText('tick0')
  call assert_fails('CupolaInvoke hello', 'an answer is under way')
  CupolaCancel
  call s:WaitForText('cancelled')
endfunction

function s:tests.a_failure_stands_where_the_answer_would_be()
  let g:cupola_target.agent = 'notes-required'
  CupolaInvoke hello
  call s:WaitForText('hint: no isolation key was given')
endfunction

function s:tests.a_daemon_that_is_killed_is_started_again()
  call s:AsUser('survivor')
  CupolaInvoke remember tea
  call s:WaitForAnswer('Remembered: tea')
  CupolaInvoke slow 500 100
  call s:WaitForText('tick0')
  call system('kill -9 ' .. s:Status().processId)
  call s:WaitForText('[the daemon went away; the turn may have run')
  CupolaInvoke what do you remember?
  call s:WaitForAnswer('- tea')
endfunction

function s:tests.an_answer_that_is_long_or_hard_to_read_arrives()
  let port = []
  let agent = job_start(['python3', s:root .. '/tests/fixtures/odd_agent.py'], #{out_cb: {_, line -> add(port, line)}})
  call s:Wait('the agent listens', {-> !empty(port)})
  let g:cupola_target = #{kind: 'local', port: str2nr(port[0])}
  let events = []
  for [input, expected] in items({'digits 6000': repeat('9', 6000), 'half': "\ufffd"})
    call extend(events, s:Odd(input))
    call assert_equal(expected, remove(events, 0))
  endfor
  call assert_equal(v:t_list, type(s:Odd('deep 5000')[0]))
  let params = #{target: g:cupola_target, input: 'long 17000000'}
  let answer = {}
  " Vim discards a message that pauses for 100 ms, which a busy machine can cause: then there is no answer.
  for attempt in range(5)
    let channel = ch_open('unix:' .. trim(system('cupola socket')), #{mode: 'lsp'})
    let answer = ch_evalexpr(channel, #{method: 'invoke', params: params}, #{timeout: 30000})
    call ch_close(channel)
    if !empty(answer)
      break
    endif
  endfor
  call assert_equal(repeat(repeat('x', 99) .. "\n", 170000) .. 'end', answer.result.text)
  call job_stop(agent)
endfunction

" The values of the odd events in an answer, over a separate channel.
function s:Odd(input)
  let values = []
  let channel = ch_open('unix:' .. trim(system('cupola socket')), #{mode: 'lsp', callback: {_, message -> s:Collect(values, message)}})
  let params = #{target: g:cupola_target, input: a:input, protocol: 'responses', partialResultToken: 1}
  let answer = ch_evalexpr(channel, #{method: 'invoke', params: params}, #{timeout: 20000})
  call assert_equal('done', answer.result.text)
  call s:Wait('the event', {-> !empty(values)})
  call ch_close(channel)
  return values
endfunction

function s:Collect(values, message)
  let event = get(get(a:message, 'params', {}), 'value', {})
  if get(event, 'name', '') ==# 'response.odd'
    call add(a:values, event.data.value)
  endif
endfunction

function s:Run()
  let [passed, failed] = [0, 0]
  for name in sort(keys(s:tests))
    let g:cupola_target = #{kind: 'emulator'}
    let v:errors = []
    call s:AsUser('')
    try
      call s:tests[name]()
    catch
      call add(v:errors, v:exception .. ' at ' .. v:throwpoint)
    endtry
    silent! CupolaCancel
    call s:Wait('the end of ' .. name, {-> s:Text() =~# '^$\|\n\n$'})
    silent! bwipeout! cupola://answers
    let [passed, failed] += empty(v:errors) ? [1, 0] : [0, 1]
    call s:Say('test ' .. name .. (empty(v:errors) ? ' ... ok' : ' ... FAILED: ' .. join(v:errors, "\n")))
  endfor
  return [passed, failed]
endfunction

try
  execute 'source' s:Snippet()
  const s:page = getscriptinfo(#{name: 'cupola.vim'})[0].sid
  let s:result = s:Run()
catch
  call s:Say(v:exception .. ' at ' .. v:throwpoint)
  let s:result = [0, 1]
endtry
call system('cupola stop --force')
call delete(s:home, 'rf')
call s:Say(s:result[0] .. ' passed, ' .. s:result[1] .. ' failed')
" In Ex mode Vim would end with 1 for every error that was silenced on the way.
visual
execute s:result[1] ? 'cquit!' : 'qall!'
