-- Flights: one call for everybody who asks the same question at the same time, at whichever instance.
--
-- A flight: {id (grows in the order of arrival), tenant, payer, question, waiters in the order of asking, where it
-- waits, and from its grant on its call {id, owner, class, started, expires, charged seconds, line, over}}.

local flights = {}
local FLIGHTS, QUESTIONS, REQUESTS, CALLS = key('flights'), key('questions'), key('requests'), key('calls')
local DEADLINES, OVERDUE = key('deadlines'), key('overdue')

local function question_of(flight)
  return sized(flight.tenant) .. flight.question
end

-- As urgent as the most urgent waiter, worth making until the latest deadline, due when the earliest is.
local function sum_up(flight)
  local first = flight.waiters[1]
  if not first then return end
  flight.class, flight.deadline, flight.not_before = first.class, first.deadline, first.not_before
  for _, waiter in ipairs(flight.waiters) do
    flight.class = math.min(flight.class, waiter.class)
    flight.deadline = math.max(flight.deadline, waiter.deadline)
    flight.not_before = math.min(flight.not_before, waiter.not_before)
  end
end

function flights.keep(flight)
  local newest = flight.newest
  flight.newest = nil
  save(FLIGHTS, flight.id, flight)
  flight.newest = newest
end

function flights.of(id)
  return id and sure(load(FLIGHTS, id)) or nil
end

-- Every request that waits has its deadline.
function flights.look()
  sure(redis.call('HLEN', REQUESTS) == redis.call('ZCARD', DEADLINES))
end

function flights.of_request(request_id)
  return flights.of(redis.call('HGET', REQUESTS, request_id))
end

function flights.of_call(call_id)
  return flights.of(redis.call('HGET', CALLS, call_id))
end

function flights.of_question(flight)
  return flights.of(redis.call('HGET', QUESTIONS, question_of(flight)))
end

function flights.open(flight)
  flight.id = redis.call('HINCRBY', META, 'flights', 1)
  redis.call('HSET', QUESTIONS, question_of(flight), flight.id)
  for _, waiter in ipairs(flight.waiters) do
    redis.call('HSET', REQUESTS, waiter.id, flight.id)
    redis.call('ZADD', DEADLINES, waiter.deadline, waiter.id)
  end
  sum_up(flight)
end

-- One more waits. Only a flight that is in no queue may change.
function flights.join(flight, waiter)
  table.insert(flight.waiters, waiter)
  redis.call('HSET', REQUESTS, waiter.id, flight.id)
  redis.call('ZADD', DEADLINES, waiter.deadline, waiter.id)
  sum_up(flight)
end

-- One less waits. A flight nobody waits for goes, unless its call is being made.
function flights.leave(flight, request_id)
  redis.call('HDEL', REQUESTS, request_id)
  redis.call('ZREM', DEADLINES, request_id)
  for index, waiter in ipairs(flight.waiters) do
    if waiter.id == request_id then
      table.remove(flight.waiters, index)
      break
    end
  end
  sum_up(flight)
  if #flight.waiters == 0 and (not flight.call or flight.call.over) then
    flights.close(flight)
  else
    flights.keep(flight)
  end
end

-- Nobody joins it any more: its call's lease has ended. Who waits still may hear of it.
function flights.shut(flight)
  redis.call('HDEL', QUESTIONS, question_of(flight))
  if #flight.waiters == 0 then flights.close(flight) else flights.keep(flight) end
end

-- The flight is over; who waited for it.
function flights.close(flight)
  local question, waiters = question_of(flight), {}
  if tonumber(redis.call('HGET', QUESTIONS, question) or 0) == flight.id then redis.call('HDEL', QUESTIONS, question) end
  if flight.call then redis.call('HDEL', CALLS, flight.call.id) end
  for index, waiter in ipairs(flight.waiters) do
    redis.call('HDEL', REQUESTS, waiter.id)
    redis.call('ZREM', DEADLINES, waiter.id)
    waiters[index] = waiter.id
  end
  redis.call('HDEL', FLIGHTS, flight.id)
  return waiters
end

-- The flights whose calls wait to be made: the due in their class's queue, retries until they are due, and aside
-- those with less time left than their payer usually takes.

local waiting = {}
local NOT_DUE, LATE = key('not-due'), key('late')
local BY_CLASS, BY_TENANT = key('waiting'), key('waiting-tenants')

local function of_tenants(class) return key('waiting-tenants', class) end
local function of_payers(class) return key('waiting-payers', class) end
local function late(payer) return key('late', sized(payer)) end

local function tally(flight, by)
  count(BY_CLASS, flight.class, by)
  count(BY_TENANT, flight.tenant, by)
  count(of_tenants(flight.class), flight.tenant, by)
  count(of_payers(flight.class), flight.payer, by)
end

function waiting.of_class(class) return number_of(BY_CLASS, class) end
function waiting.of_tenant(class, tenant) return number_of(of_tenants(class), tenant) end
function waiting.at_payer(class, payer) return number_of(of_payers(class), payer) end

local function padded(flight) return string.format('%015d', flight.id) end

local function queue(flight)
  flight.where = 'due'
  flights.keep(flight)
  fair.add(flight)
end

function waiting.add(flight)
  tally(flight, 1)
  if flight.not_before > now then
    flight.where = 'not due'
    flights.keep(flight)
    redis.call('ZADD', NOT_DUE, flight.not_before, padded(flight))
  else
    queue(flight)
  end
end

local function unset_aside(flight)
  redis.call('ZREM', late(flight.payer), padded(flight))
  if redis.call('EXISTS', late(flight.payer)) == 0 then redis.call('SREM', LATE, flight.payer) end
end

-- Nobody waits for it any more, or something about it changes.
function waiting.remove(flight)
  tally(flight, -1)
  if flight.where == 'not due' then
    redis.call('ZREM', NOT_DUE, padded(flight))
  elseif flight.where == 'late' then
    unset_aside(flight)
  else
    fair.remove(flight)
  end
end

-- Its call is made, for an estimate of its slot-time; the number of the line to correct later.
function waiting.call(flight, cost_seconds)
  tally(flight, -1)
  return fair.charge(flight, cost_seconds)
end

function waiting.set_aside(flight)
  fair.remove(flight)
  redis.call('ZADD', late(flight.payer), -flight.deadline, padded(flight))
  redis.call('SADD', LATE, flight.payer)
  flight.where = 'late'
  flights.keep(flight)
end

-- Queue what has become due, and what was set aside and is in time now. The latest deadline comes first: if that one
-- is too late, all are.
function waiting.bring_up()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', NOT_DUE, '-inf', now, 'LIMIT', 0, BATCH)) do
    redis.call('ZREM', NOT_DUE, id)
    queue(flights.of(tonumber(id)))
  end
  for _, payer in ipairs(redis.call('SMEMBERS', LATE)) do
    for _ = 1, BATCH do
      local id = redis.call('ZRANGE', late(payer), 0, 0)[1]
      local flight = id and flights.of(tonumber(id))
      if not flight or not payers.can_answer_by(payer, flight.deadline) then break end
      unset_aside(flight)
      queue(flight)
    end
  end
end

function waiting.any()
  return redis.call('EXISTS', BY_TENANT) == 1
end

function waiting.any_due()
  return fair.any_due(0) or fair.any_due(1) or fair.any_due(2)
end

function waiting.is_due_at(payer)
  return fair.is_due_at(0, payer) or fair.is_due_at(1, payer) or fair.is_due_at(2, payer)
end
