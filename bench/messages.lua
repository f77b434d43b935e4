-- Load for wrk: messages of many people, each with an id of its own.
local thread_number = 0

function setup(thread)
  thread:set("number", thread_number)
  thread_number = thread_number + 1
end

function init(args)
  run = args[1] or "run"
  count = 0
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  count = count + 1
  local id = run .. "-" .. number .. "-" .. count
  local body = '{"platform":"web","sender_id":"bench-' .. (count % 100) .. '","message_id":"' .. id ..
    '","text":"Message ' .. id .. ' says that the harbour was quiet and the ferry came late."}'
  return wrk.format("POST", "/v1/messages", nil, body)
end

function response(status, headers, body)
  if status >= 400 then
    failed = (failed or 0) + 1
  end
end

function done(summary, latency, requests)
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
