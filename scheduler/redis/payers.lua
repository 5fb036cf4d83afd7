-- What is known of each payer: how long its calls take, whether it answers, and whether it may be called.

local durations = {}
local RECENT_SECONDS, MEDIAN_FROM, SHORTEST_SECONDS = 600, 5, 0.001
local ALL_CALLS = 'all'   -- the sample of every call's slot-time; those of payers begin with a length

local function sample(name) return key('took', name) end

local function age(name)
  while true do
    local oldest = redis.call('LINDEX', sample(name), 0)
    local at, seconds
    if oldest then at, seconds = string.match(oldest, '(%S+) (%S+)') end
    if not oldest or tonumber(at) + RECENT_SECONDS > now then return at end
    redis.call('LPOP', sample(name))
    redis.call('INCRBYFLOAT', sample(name) .. ':sum', '-' .. seconds)
  end
end

function durations.record(name, seconds, size)
  if redis.call('RPUSH', sample(name), string.format('%.17g %.17g', now, seconds)) == 1 then
    redis.call('DEL', sample(name) .. ':sum')   -- of a sample that is gone
  end
  redis.call('INCRBYFLOAT', sample(name) .. ':sum', seconds)
  if redis.call('LLEN', sample(name)) > size then
    local _, oldest = string.match(redis.call('LPOP', sample(name)), '(%S+) (%S+)')
    redis.call('INCRBYFLOAT', sample(name) .. ':sum', '-' .. oldest)
  end
  redis.call('EXPIRE', sample(name), 2 * RECENT_SECONDS)
  redis.call('EXPIRE', sample(name) .. ':sum', 2 * RECENT_SECONDS)
end

-- Nil while nothing is known.
function durations.mean(name)
  if not age(name) then return nil end
  local sum = redis.call('GET', sample(name) .. ':sum')
  if not sum then   -- Redis threw it away: what is left tells nothing
    redis.call('DEL', sample(name))
    return nil
  end
  return math.max(tonumber(sum), 0) / redis.call('LLEN', sample(name))
end

-- Nil while too little is known.
function durations.median(name)
  if not age(name) then return nil end
  local seconds = redis.call('LRANGE', sample(name), 0, -1)
  if #seconds < MEDIAN_FROM then return nil end
  for index, entry in ipairs(seconds) do seconds[index] = tonumber(string.match(entry, ' (%S+)')) end
  table.sort(seconds)
  return seconds[math.floor(#seconds / 2) + 1]
end

-- When the oldest is forgotten.
function durations.next_change(name)
  local oldest = age(name)
  return oldest and tonumber(oldest) + RECENT_SECONDS
end

local payers = {}
local DOWN, FAILING, SEEN = key('down'), key('failing'), key('seen')
local PAYER_SAMPLES = 50

local function answers_of(payer) return 'answer:' .. sized(payer) end
local function slot_times_of(payer) return 'slot:' .. sized(payer) end

function payers.record(name, payer, seconds)
  redis.call('ZADD', SEEN, now, payer)
  redis.call('ZREMRANGEBYSCORE', SEEN, '-inf', now - RECENT_SECONDS)
  durations.record(name(payer), seconds, PAYER_SAMPLES)
end

function payers.median(payer)
  payers.medians = payers.medians or {}
  local known = payers.medians[payer]
  if known == nil then
    known = durations.median(answers_of(payer)) or false
    payers.medians[payer] = known
  end
  return known
end

-- Whether a call that begins now would usually end in time.
function payers.can_answer_by(payer, deadline)
  local left, median = deadline - now, payers.median(payer)
  return left > 0 and (not median or left >= median)
end

-- The mean of recent calls to the payer, or nil; 0 tells nothing.
function payers.slot_seconds(payer)
  local mean = durations.mean(slot_times_of(payer))
  return mean ~= 0 and mean or nil
end

-- Breakers. Once one is open, only its probe's end counts.

local function breaker_of(payer)
  return load(DOWN, payer) or load(FAILING, payer) or { failures = 0 }
end

local function keep(payer, breaker)
  redis.call('HDEL', DOWN, payer)
  redis.call('HDEL', FAILING, payer)
  if breaker.open_until then
    save(DOWN, payer, breaker)
  elseif breaker.failures > 0 then
    save(FAILING, payer, breaker)
  end
  payers.down = nil
end

local function admits(breaker)
  return not breaker.probe and now >= breaker.open_until
end

local function those_down()
  if not payers.down then
    payers.down = {}
    for payer, packed in pairs_of(redis.call('HGETALL', DOWN)) do payers.down[payer] = cmsgpack.unpack(packed) end
  end
  return payers.down
end

function payers.state(payer)
  local breaker = those_down()[payer]
  if not breaker then return 'CLOSED' end
  return now < breaker.open_until and 'OPEN' or 'HALF_OPEN'
end

-- When a probe may be sent, if the payer is left alone until then.
function payers.opens_at(payer)
  local breaker = those_down()[payer]
  return breaker and now < breaker.open_until and breaker.open_until or nil
end

-- Those that no call may be made to: at their cap, or left alone.
function payers.shut()
  local shut = {}
  for payer, held in pairs(slots.at) do
    if held >= policy.slots_per_payer then shut[payer] = true end
  end
  for payer, breaker in pairs(those_down()) do
    if not admits(breaker) then shut[payer] = true end
  end
  return shut
end

-- A breaker that is open knows better: its probe stays when it was due, however many instances start meanwhile.
function payers.is_down(payer)
  local breaker = breaker_of(payer)
  if breaker.open_until then return end
  breaker.open_until = now + policy.open_seconds
  keep(payer, breaker)
end

function payers.send_probe(payer, call_id)
  local breaker = breaker_of(payer)
  breaker.probe = call_id
  keep(payer, breaker)
end

function payers.give_back_probe(payer, call_id)
  local breaker = breaker_of(payer)
  if breaker.probe == call_id then
    breaker.probe = nil
    keep(payer, breaker)
  end
end

-- Whether this closed the breaker.
function payers.answered(payer, call_id)
  local breaker = breaker_of(payer)
  if breaker.open_until and breaker.probe ~= call_id then return false end
  keep(payer, { failures = 0 })
  return breaker.open_until ~= nil
end

-- Whether this opened the breaker; a failed probe opens it again without a word.
function payers.failed(payer, call_id)
  local breaker = breaker_of(payer)
  if breaker.open_until then
    if breaker.probe == call_id then
      breaker.probe = nil
      breaker.open_until = now + policy.open_seconds
      keep(payer, breaker)
    end
    return false
  end
  if breaker.failures == 0 then breaker.first = now end
  breaker.failures = breaker.failures + 1
  local lasting = breaker.failures >= 2 and now - breaker.first >= policy.run_seconds
  local opened = breaker.failures >= policy.failures or lasting
  if opened then breaker.open_until = now + policy.open_seconds end
  keep(payer, breaker)
  return opened
end
