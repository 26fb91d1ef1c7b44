-- Load for wrk: admits and releases in turn, each id once. Arguments after `--`: prefix of ids, number of customers.
-- A release names an id that was asked for LAG requests before, so that its admit has been answered long since.
local LAG = 1000

local threads = 0
function setup(thread)
  thread:set('thread_number', threads)
  threads = threads + 1
end

local headers = {['Content-Type'] = 'application/json'}
local admit_body = '{"customer":"bench-%d","connection":"%s","service":"meeting","meeting":"meeting-%06d","endpoint":"web","role":"host","person":"person-%06d"}'
local release_body = '{"customer":"bench-%d","connection":"%s"}'
local prefix, customers, sent, admitted

function init(args)
  prefix = string.format('%s-%02d', args[1] or 'wrk', thread_number)
  customers = tonumber(args[2] or 10)
  sent, admitted = 0, 0
end

-- 36 characters, as long as the ids of the other load generator.
local function id_of(number)
  return string.format('%s-%0' .. (35 - #prefix) .. 'd', prefix, number)
end

function request()
  sent = sent + 1
  local number = admitted - LAG
  if sent % 2 == 0 and number >= 0 then
    return wrk.format('POST', '/v1/release', headers, string.format(release_body, number % customers, id_of(number)))
  end
  number, admitted = admitted, admitted + 1
  return wrk.format('POST', '/v1/admit', headers, string.format(admit_body, number % customers, id_of(number), number / 10, number))
end

-- One line for the script that started wrk: requests, microseconds, latencies in microseconds, errors.
function done(summary, latency)
  local errors = summary.errors
  print(string.format('RESULT %d %d %d %d %d %d', summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9), errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
