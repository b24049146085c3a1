--- Text of the service or an agent, made harmless for where it is shown. `failure.say`, `view`, `list` and `health` apply it;
--- nothing else shows such text.
---
--- The characters are those of `protocol/src/display.rs`; the tests share a table of cases with the other clients.
local M = {}

--- U+FFFD, in place of a character that acts.
local REPLACEMENT = '\239\191\189'

--- What acts instead of being shown, as bytes of UTF-8; line feeds and tabs are the caller's choice.
local ACTING = {
  '[%z\1-\8\11-\31\127]',
  '\194[\128-\159]', -- C1
  '\216\156', -- U+061C
  '\226\128[\142\143\168-\174]', -- U+200E, U+200F, U+2028 to U+202E
  '\226\129[\166-\175]', -- U+2066 to U+206F
  '\239\191[\185-\187]', -- U+FFF9 to U+FFFB
  '\243\160[\128\129][\128-\191]', -- U+E0000 to U+E007F
}

--- Text of several lines. Colours of a terminal are taken out; line feeds and tabs stay.
---@param text string
---@return string
function M.text(text)
  text = text:gsub('\r\n', '\n'):gsub('\27%[[%d;]*m', '')
  for _, acting in ipairs(ACTING) do
    text = text:gsub(acting, REPLACEMENT)
  end
  return text
end

--- Text that must stay on its line.
---@param text string
---@return string
function M.line(text)
  return (M.text(text):gsub('[\n\t]', REPLACEMENT))
end

return M
