-- Asks Gatelodge about each request, for the LuaHookAccessChecker of gatelodge.conf.

local http = require("socket.http")
local ltn12 = require("ltn12")

-- Your issuer. More to demand: ?scope=subscriptions:read&environment=live
local check_address = "http://127.0.0.1:4600/v1/authorize/i_yourissuer"

-- Gatelodge is away, or said something else: nobody passes. Write it in the dialect of your profile.
local unavailable = {
  status = 503,
  headers = { ["content-type"] = "application/json", ["retry-after"] = "1" },
  body = '{"error":{"code":"unavailable","message":"Try again shortly","type":"api_error"}}',
}

-- Seconds, once to connect and once for the answer.
http.TIMEOUT = 1

-- What belongs to the connection or the body, of which the check has its own and none.
local of_the_connection = {
  ["host"] = true,
  ["connection"] = true,
  ["keep-alive"] = true,
  ["te"] = true,
  ["trailer"] = true,
  ["transfer-encoding"] = true,
  ["upgrade"] = true,
  ["expect"] = true,
  ["content-length"] = true,
  ["date"] = true,
}

local identity = {
  "X-Gatelodge-Key-Id",
  "X-Gatelodge-Account-Id",
  "X-Gatelodge-Issuer-Id",
  "X-Gatelodge-Organization-Id",
  "X-Gatelodge-Kind",
  "X-Gatelodge-Environment",
  "X-Gatelodge-Scopes",
  "X-Gatelodge-Warnings",
  "X-Request-Id",
}

-- What the client of an allowed request learns besides the API's answer.
local for_the_client = {
  "X-Environment",
  "X-Request-Id",
  "X-RateLimit-Limit",
  "X-RateLimit-Remaining",
  "X-RateLimit-Reset",
  "RateLimit",
  "RateLimit-Policy",
  "Deprecation",
  "Sunset",
}

-- Everything that came in and could be taken for the word of Gatelodge or of Apache, however it is spelled:
-- X_Gatelodge_Organization_Id is the name with hyphens to many applications.
local function strip(r)
  for name in pairs(r:headers_in_table()) do
    local lower = name:lower()
    if lower:match("^x[^a-z0-9]*gatelodge") or lower:match("^x%-forwarded%-") or lower:match("^forwarded$")
      or lower:match("^x%-real%-ip$") then
      r.headers_in[name] = nil
    end
  end
  -- A client could name headers here that Apache would then drop, such as the identity.
  local kept = {}
  for token in (r.headers_in["Connection"] or ""):lower():gmatch("[^%s,]+") do
    if token == "close" or token == "keep-alive" or token == "upgrade" then
      kept[#kept + 1] = token
    end
  end
  r.headers_in["Connection"] = #kept > 0 and table.concat(kept, ", ") or nil
end

-- A real preflight carries no key: it goes to the API without a check, and without an identity.
local function is_preflight(r)
  return r.method == "OPTIONS" and r.headers_in["Origin"] ~= nil
    and r.headers_in["Access-Control-Request-Method"] ~= nil
end

local function ask(r)
  local headers = {}
  for name, value in pairs(r:headers_in_table()) do
    local lower = name:lower()
    if not of_the_connection[lower] then
      headers[lower] = value
    end
  end
  headers["x-forwarded-for"] = r.useragent_ip
  headers["x-forwarded-host"] = r.headers_in["Host"] or ""
  headers["x-forwarded-proto"] = r.is_https and "https" or "http"
  headers["x-forwarded-method"] = r.method
  headers["x-forwarded-uri"] = r.unparsed_uri
  local body = {}
  local _, status, answer_headers = http.request({
    url = check_address,
    headers = headers,
    sink = ltn12.sink.table(body),
    redirect = false,
  })
  return { status = status, headers = answer_headers, body = table.concat(body) }
end

local function allow(r, headers)
  for _, name in ipairs(identity) do
    r.headers_in[name] = headers[name:lower()]
  end
  for _, name in ipairs(for_the_client) do
    r.err_headers_out[name] = headers[name:lower()]
  end
  r.notes["gatelodge-deprecation"] = headers["deprecation"]
end

-- Status, body and headers of a refusal are the client's to see as they are.
local function refuse(r, answer)
  r.status = answer.status
  for name, value in pairs(answer.headers) do
    if name == "content-type" then
      r.content_type = value
    elseif not of_the_connection[name] then
      r.err_headers_out[name] = value
    end
  end
  r:puts(answer.body)
  return apache2.DONE
end

-- A 200 without an identity is of something else that has Gatelodge's port. What is no HTTP at all LuaSocket takes for
-- a 200 without headers.
local function is_allowed(answer)
  local id = answer.headers and answer.headers["x-gatelodge-key-id"] or ""
  return answer.status == 200 and id:match("^key_") ~= nil
end

function check(r)
  strip(r)
  if is_preflight(r) then
    return apache2.OK
  end
  local is_told, answer = pcall(ask, r)
  if is_told and is_allowed(answer) then
    allow(r, answer.headers)
    return apache2.OK
  end
  if is_told and (answer.status == 401 or answer.status == 403 or answer.status == 429) then
    return refuse(r, answer)
  end
  return refuse(r, unavailable)
end
