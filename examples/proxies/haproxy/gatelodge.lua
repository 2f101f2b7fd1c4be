-- Asks Gatelodge about each request: `http-request lua.gatelodge <path of the check>`.

-- The listener of haproxy.cfg that leads to Gatelodge. It is the one that gives up, after 1.5 s.
local way = "abns@gatelodge-8088"
local timeout_ms = 5000

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
}

local identity = {
  "x-gatelodge-key-id",
  "x-gatelodge-account-id",
  "x-gatelodge-issuer-id",
  "x-gatelodge-organization-id",
  "x-gatelodge-kind",
  "x-gatelodge-environment",
  "x-gatelodge-scopes",
  "x-gatelodge-warnings",
  "x-request-id",
}

-- What the client of an allowed request learns besides the API's answer.
local for_the_client = {
  "x-environment",
  "x-request-id",
  "x-ratelimit-limit",
  "x-ratelimit-remaining",
  "x-ratelimit-reset",
  "ratelimit",
  "ratelimit-policy",
  "deprecation",
  "sunset",
}

-- HAProxy's lists of values begin at 0, those of Lua and of its own client at 1.
local function from_one(values)
  local list = {}
  for index = 0, #values do
    list[#list + 1] = values[index]
  end
  return list
end

local function ask(txn, path)
  local headers = {}
  for name, values in pairs(txn.http:req_get_headers()) do
    if not of_the_connection[name] then
      headers[name] = from_one(values)
    end
  end
  return core.httpclient():get({ url = "http://127.0.0.1" .. path, dst = way, headers = headers, timeout = timeout_ms })
end

local function allow(txn, headers)
  for _, name in ipairs(identity) do
    txn.http:req_del_header(name)
    if headers[name] then
      txn.http:req_set_header(name, headers[name][0])
    end
  end
  local told = {}
  for _, name in ipairs(for_the_client) do
    if headers[name] then
      told[name] = headers[name][0]
    end
  end
  txn:set_priv(told)
  txn:set_var("txn.gatelodge", "passed")
end

-- Status, body and headers of a refusal are the client's to see as they are.
local function refuse(txn, answer)
  local reply = txn:reply({ status = answer.status })
  for name, values in pairs(answer.headers) do
    if not of_the_connection[name] then
      for _, value in ipairs(from_one(values)) do
        reply:add_header(name, value)
      end
    end
  end
  reply:set_body(answer.body)
  txn:done(reply)
end

-- A 200 without an identity is of something else that has Gatelodge's port.
local function is_allowed(answer)
  local ids = answer.headers and answer.headers["x-gatelodge-key-id"]
  return answer.status == 200 and ids ~= nil and ids[0]:match("^key_") ~= nil
end

-- Whatever else it says, and if it says nothing, haproxy.cfg answers.
core.register_action("gatelodge", { "http-req" }, function(txn, path)
  local answer = ask(txn, path)
  if is_allowed(answer) then
    allow(txn, answer.headers)
  elseif answer.status == 401 or answer.status == 403 or answer.status == 429 then
    refuse(txn, answer)
  end
end, 1)

core.register_action("gatelodge_headers", { "http-res" }, function(txn)
  for name, value in pairs(txn:get_priv() or {}) do
    txn.http:res_set_header(name, value)
  end
end)
