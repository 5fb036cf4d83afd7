-- What recent calls say of the waits to come; scheduler/waits.py tells how.

local waits = {}
local WAITS = key('waits')
local ALL_SAMPLES, TAU_SECONDS, KNOWN_AFTER_SECONDS = 300, 120, 5
local STEP, LIMIT = 0.04, math.log(4)

local function stream_of(class)
  return load(WAITS, 'arrivals:' .. class) or { weight = 0, at = 0 }
end

local function decayed(stream)
  return stream.weight * math.exp((stream.at - now) / TAU_SECONDS)
end

-- A call that nobody had asked for came to wait.
function waits.arrived(class)
  local stream = stream_of(class)
  save(WAITS, 'arrivals:' .. class, { began = stream.began or now, weight = decayed(stream) + 1, at = now })
end

local function per_second(class)
  local stream = stream_of(class)
  if not stream.began or now - stream.began < KNOWN_AFTER_SECONDS then return 0 end
  return decayed(stream) / (TAU_SECONDS * (1 - math.exp((stream.began - now) / TAU_SECONDS)))
end

function waits.ended(slot_seconds)
  durations.record(ALL_CALLS, slot_seconds, ALL_SAMPLES)
end

-- The mean of recent calls, never nothing at all; nil while nothing is known.
function waits.slot_seconds()
  local mean = durations.mean(ALL_CALLS)
  return mean and math.max(mean, SHORTEST_SECONDS)
end

local function log_factor(class)
  return number_of(WAITS, 'factor:' .. class)
end

-- What was said of this call's wait can be compared now.
function waits.granted(forecast)
  local step = now - forecast.at > forecast.seconds and STEP or -STEP
  local mended = math.min(math.max(log_factor(forecast.class) + step, -LIMIT), LIMIT)
  redis.call('HSET', WAITS, 'factor:' .. forecast.class, mended)
end

-- Calls a second that so many slots can make for the class, more urgent ones taking theirs first.
local function share_left(class, free_slots, call_seconds)
  local capacity, taken = math.max(free_slots, 1) / call_seconds, 0
  for _, other in ipairs(CLASSES) do
    if other < class then taken = taken + per_second(other) end
  end
  return math.max(capacity - taken, capacity / 20)
end

-- Where a call stands, and how long it will probably wait there; scheduler/places.py tells how.
local places = {}
local UNKNOWN_CALL_SECONDS = 5

function places.cost_seconds(payer)
  return payers.slot_seconds(payer) or waits.slot_seconds() or UNKNOWN_CALL_SECONDS
end

local function wait_seconds(flight, in_class, total, at_payer, shut)
  local call_seconds = waits.slot_seconds()
  if not call_seconds then return nil end
  local open_slots = policy.slots
  for payer in pairs(shut) do open_slots = open_slots - (slots.at[payer] or 0) end
  local turn = total + 1 - math.max(slots.free(), 0)
  local for_slot = turn / share_left(flight.class, open_slots, call_seconds)
  local floor = policy.floors[flight.class + 1]
  if floor > 0 then for_slot = math.min(for_slot, (in_class + 1) * call_seconds / floor) end
  local cap = policy.slots_per_payer
  local turn_at_payer = at_payer + 1 - math.max(cap - (slots.at[flight.payer] or 0), 0)
  local for_payer = turn_at_payer * (payers.slot_seconds(flight.payer) or call_seconds) / cap
  return math.max(for_slot, for_payer, 0) * math.exp(log_factor(flight.class))
end

-- {queue position, seconds}; what is said first of a flight's wait is noted, to learn from.
function places.place(flight)
  local shut = payers.shut()
  shut[flight.payer] = nil
  local in_class, at_payer = fair.ahead(flight, shut, waits.slot_seconds() or UNKNOWN_CALL_SECONDS)
  local total = in_class
  for _, class in ipairs(CLASSES) do
    if class < flight.class then
      total = total + waiting.of_class(class)
      for payer in pairs(shut) do total = total - waiting.at_payer(class, payer) end
      at_payer = at_payer + waiting.at_payer(class, flight.payer)
    end
  end
  local seconds = wait_seconds(flight, in_class, total, at_payer, shut)
  if not seconds then return { total + 1, NONE } end
  local barred = math.max(flight.not_before, payers.opens_at(flight.payer) or now) - now
  if not flight.forecast and barred <= 0 and seconds > 0 then
    flight.forecast = { at = now, class = flight.class, seconds = seconds }
    flights.keep(flight)
  end
  return { total + 1, math.max(seconds, barred) }
end
