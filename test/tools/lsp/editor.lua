-- Driven headless by the test of Neovim, with the init.lua of docs/editors.md: a model is open, a mistake is typed, and
-- it tells what it is shown.
local buffer = vim.api.nvim_get_current_buf()

local told = {}
local function tell(name, value)
  told[name] = value
end

local function wait(what, holds)
  if not vim.wait(20000, holds, 20) then
    io.stderr:write("waited in vain for " .. what .. "\n")
    vim.cmd.cquit()
  end
end

wait("a server", function() return #vim.lsp.get_clients({ bufnr = buffer }) == 1 end)
local client = vim.lsp.get_clients({ bufnr = buffer })[1]
local id = client.id
wait("the server", function() return client.initialized end)
tell("filetype", vim.bo[buffer].filetype)
tell("encoding", client.offset_encoding)

-- A mistake is typed: the name of a function loses a letter.
local function replace(from, to)
  local text = table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), "\n")
  local start, stop = text:find(from, 1, true)
  local changed = text:sub(1, start - 1) .. to .. text:sub(stop + 1)
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, vim.split(changed, "\n"))
end
replace("top(score", "to(score")
wait("a diagnostic", function() return #vim.diagnostic.get(buffer) == 1 end)
local found = vim.diagnostic.get(buffer)[1]
tell("diagnostic", { line = found.lnum + 1, code = found.code, message = found.message })

replace("to(score", "top(score")
wait("no diagnostic", function() return #vim.diagnostic.get(buffer) == 0 end)

wait("hints", function() return #vim.lsp.inlay_hint.get({ bufnr = buffer }) > 2 end)
local hints = {}
for _, h in ipairs(vim.lsp.inlay_hint.get({ bufnr = buffer })) do
  local line = h.inlay_hint.position.line + 1
  table.insert(hints, line .. h.inlay_hint.label)
end
table.sort(hints)
tell("hints", hints)

local at = { textDocument = { uri = vim.uri_from_bufnr(buffer) }, position = { line = 16, character = 14 } }
local hover = vim.lsp.buf_request_sync(buffer, "textDocument/hover", at, 5000)[id]
tell("hover", hover.result.contents.value)

io.stdout:write(vim.json.encode(told) .. "\n")
vim.lsp.stop_client(id)
wait("the end", function() return vim.lsp.get_client_by_id(id) == nil end)
vim.cmd.qall({ bang = true })
