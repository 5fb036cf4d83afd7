-- The decisions, each in one go; scheduler/admission.py tells what they promise. Every time that comes or goes is in
-- seconds from now, so that no instance's clock is compared with the server's.

local decisions = {}

-- Bringing the state up to date.

local function slot_seconds_of(call, finish)
  if finish == 'NOT_MADE' then return 0 end
  if finish == 'TIMED_OUT' or finish == 'LOST' then return call.expires - call.started end
  return math.min(now, call.expires) - call.started
end

local function lease_ended(call_id)
  slots.drop(call_id)
  local flight = flights.of_call(call_id)
  if not flight then return end   -- settled long ago, as not proven over
  local call = flight.call
  call.over = true
  fair.correct(call.class, flight.tenant, call.line, call.expires - call.started - call.charged)
  payers.give_back_probe(flight.payer, call_id)
  flights.shut(flight)
end

local function drop(flight, request_id)
  if flight.call then return flights.leave(flight, request_id) end
  waiting.remove(flight)
  flights.leave(flight, request_id)
  if #flight.waiters > 0 then waiting.add(flight) end
end

local function advance()
  for _, call_id in ipairs(redis.call('ZRANGEBYSCORE', ENDS, '-inf', now)) do lease_ended(call_id) end
  local passed = redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', now, 'WITHSCORES', 'LIMIT', 0, BATCH)
  for request_id, deadline in pairs_of(passed) do
    redis.call('ZADD', OVERDUE, deadline, request_id)
    drop(sure(flights.of_request(request_id)), request_id)
  end
  waiting.bring_up()
end

-- Waiting.

-- {nothing, how many more would be taken} or {seconds until it is worth another try, 0}
function decisions.room()
  local urgent, of_tenant = 0, 0
  for _, class in ipairs(CLASSES) do
    if class <= args.class then
      urgent = urgent + waiting.of_class(class)
      of_tenant = of_tenant + waiting.of_tenant(class, args.tenant)
    end
  end
  local tenants = redis.call('HLEN', BY_TENANT) + 1 - redis.call('HEXISTS', BY_TENANT, args.tenant)
  local places = math.max(policy.queue_limit - urgent, math.floor(policy.queue_limit / tenants) - of_tenant)
  if places > 0 then return { NONE, places } end
  return { urgent / 10 * (waits.slot_seconds() or UNKNOWN_CALL_SECONDS) / policy.slots, 0 }
end

local function wait_for(asked)
  local waiter = {
    id = asked.request, class = asked.class, deadline = now + asked.deadline, not_before = now + asked.not_before,
  }
  local fresh = { tenant = asked.tenant, payer = asked.payer, question = asked.question, waiters = { waiter } }
  local flight = flights.of_question(fresh)
  changed = true
  if not flight then
    flights.open(fresh)
    fresh.newest = true
    waits.arrived(fresh.class)
    waiting.add(fresh)
    return fresh
  end
  if not flight.call then waiting.remove(flight) end
  flights.join(flight, waiter)
  if flight.call then flights.keep(flight) else waiting.add(flight) end
  return flight
end

function decisions.offer()
  redis.call('ZREM', OVERDUE, args.request)
  local flight = flights.of_request(args.request) or wait_for(args)
  if flight.call then return { joined = { flight.call.id, flight.call.expires - now } } end
  return { place = places.place(flight) }
end

function decisions.leave()
  if redis.call('ZREM', OVERDUE, args.request) == 1 then return true end
  local flight = flights.of_request(args.request)
  if not flight then return false end
  drop(flight, args.request)
  return true
end

function decisions.expired()
  local overdue = redis.call('ZRANGE', OVERDUE, 0, -1)
  redis.call('DEL', OVERDUE)
  return overdue
end

function decisions.place()
  local flight = flights.of_request(args.request)
  if not flight or flight.call then return NONE end
  return places.place(flight)
end

-- Calling.

-- The most urgent class first, but for those below their floors; nil and true if there is more to look at.
local function next_flight()
  local shut, order, set_aside = payers.shut(), {}, 0
  for _, class in ipairs(CLASSES) do
    if slots.in_class[class] < policy.floors[class + 1] then table.insert(order, class) end
  end
  for _, class in ipairs(CLASSES) do table.insert(order, class) end
  for _, class in ipairs(order) do
    while true do
      local flight = flights.of(fair.first(class, shut))
      if not flight then break end
      if payers.can_answer_by(flight.payer, flight.deadline) then return flight, false end
      if set_aside == BATCH then return nil, true end
      waiting.set_aside(flight)
      set_aside = set_aside + 1
    end
  end
  return nil, false
end

local function depart(flight)
  local call = { id = args.call, owner = INSTANCE, class = flight.class, started = now }
  call.expires, call.charged = now + policy.lease_seconds, places.cost_seconds(flight.payer)
  call.line = waiting.call(flight, call.charged)
  slots.take(call.id, {
    expires = call.expires, payer = flight.payer, tenant = flight.tenant, class = call.class, owner = INSTANCE,
  })
  if flight.forecast and flight.forecast.class == flight.class then waits.granted(flight.forecast) end
  flight.call, flight.where = call, 'call'
  redis.call('HSET', CALLS, call.id, flight.id)
  flights.keep(flight)
  return call
end

local function waiters_from_now(flight)
  local waiters = {}
  for index, waiter in ipairs(flight.waiters) do
    waiters[index] = { waiter.id, waiter.class, waiter.deadline - now, waiter.not_before - now }
  end
  return waiters
end

-- {grant or nil, what `next_wakeup` says after it, whether to ask again at once}
function decisions.grant()
  epoch.join()
  epoch.forget_gone()
  if slots.free() <= 0 or epoch.grants_from() > now then return { NONE, decisions.next_wakeup(), false } end
  local flight, more = next_flight()
  if more then return { NONE, 0, true } end
  if not flight then return { NONE, decisions.next_wakeup(), false } end
  local call = depart(flight)
  local probe = payers.state(flight.payer) == 'HALF_OPEN'
  if probe then payers.send_probe(flight.payer, call.id) end
  return { {
    call.id, flight.payer, flight.tenant, flight.question, waiters_from_now(flight), call.expires - now, probe,
    call.class,
  }, decisions.next_wakeup(), false }
end

local function judge(flight, finish)
  local payer, call = flight.payer, flight.call
  if finish == 'ANSWERED' then
    payers.record(answers_of, payer, now - call.started)
    if payers.answered(payer, call.id) then return { payer, true } end
  elseif finish == 'UNREACHABLE' or finish == 'TIMED_OUT' then
    if payers.failed(payer, call.id) then return { payer, false } end
  else
    payers.give_back_probe(payer, call.id)
  end
  return NONE
end

local function settle(flight, finish)
  local call, seconds = flight.call, slot_seconds_of(flight.call, finish)
  local waiters = flights.close(flight)
  if not call.over then fair.correct(call.class, flight.tenant, call.line, seconds - call.charged) end
  if finish ~= 'NOT_MADE' then
    waits.ended(seconds)
    payers.record(slot_times_of, flight.payer, seconds)
  end
  return waiters, judge(flight, finish)
end

-- A call's end is told by its owner: of anybody else it changes nothing.
function decisions.settle()
  local flight, lease = flights.of_call(args.call), slots.leases[args.call]
  local owned = flight and flight.call.owner == INSTANCE or lease and lease.owner == INSTANCE and lease.alone
  if not owned then return { {}, NONE, false } end
  if args.finish ~= 'TIMED_OUT' and args.finish ~= 'LOST' then slots.release(args.call) end
  local waiters, breaker = {}, NONE
  if flight then waiters, breaker = settle(flight, args.finish) end
  changed = waiting.any()   -- else there is nothing to be woken for
  return { waiters, breaker, changed }
end

function decisions.next_wakeup()
  if redis.call('EXISTS', OVERDUE) == 1 then return 0 end
  local soonest
  local function at(moment)
    if moment and (not soonest or moment < soonest) then soonest = moment end
  end
  at(tonumber(redis.call('ZRANGE', DEADLINES, 0, 0, 'WITHSCORES')[2]))
  at(tonumber(redis.call('ZRANGE', NOT_DUE, 0, 0, 'WITHSCORES')[2]))
  if waiting.any_due() then
    local from = epoch.grants_from()
    if slots.free() <= 0 then at(slots.next_end()) end
    if from > now then at(from) end
    if slots.free() > 0 and from <= now then
      -- Time has passed since the caller's last grant: what became due in between is nobody's to wake for later.
      local flight, more = next_flight()
      if flight or more then return 0 end
    end
  end
  for payer in pairs(payers.shut()) do
    if waiting.is_due_at(payer) then
      at(payers.opens_at(payer))
      at(slots.next_end(payer))
    end
  end
  for _, payer in ipairs(redis.call('SMEMBERS', LATE)) do at(durations.next_change(answers_of(payer))) end
  return soonest and soonest - now or NONE
end

-- Holding on to what is known.

function decisions.hold()
  if args.expires > 0 then
    local expires = now + math.min(args.expires, policy.lease_seconds)
    slots.take(args.call, { expires = expires, payer = args.payer, owner = '' })
  end
end

function decisions.open_breaker()
  payers.is_down(args.payer)
end

local function restore(held)
  if held.expires <= 0 or redis.call('ZSCORE', ENDED, held.call) then return end
  local expires = now + math.min(held.expires, policy.lease_seconds)
  local lease = { expires = expires, payer = held.payer, tenant = held.tenant, class = held.class, owner = INSTANCE }
  local flight = { tenant = held.tenant, payer = held.payer, question = held.question, waiters = {} }
  local whole = flights.of_call(held.call) ~= nil
  -- Another call of the question is known: this one keeps its slot, and its owner may still say that it is over.
  lease.alone = not held.settled and not whole and flights.of_question(flight) ~= nil
  slots.take(held.call, lease)
  if held.settled or whole or lease.alone then return end
  for _, waiter in ipairs(held.waiters) do
    if redis.call('HEXISTS', REQUESTS, waiter[1]) == 0 and waiter[3] > 0 then
      local known = { id = waiter[1], class = waiter[2], deadline = now + waiter[3], not_before = now + waiter[4] }
      table.insert(flight.waiters, known)
    end
  end
  flights.open(flight)
  flight.where = 'call'
  flight.call = {
    id = held.call, owner = INSTANCE, class = held.class, expires = expires, charged = 0, line = 0,
    started = expires - policy.lease_seconds,
  }
  redis.call('HSET', CALLS, held.call, flight.id)
  flights.keep(flight)
end

-- The instance tells what it holds, after an epoch began that it had not met.
function decisions.register()
  for _, held in ipairs(args.held) do restore(held) end
  if #args.held > 0 or redis.call('ZSCORE', ROSTER, INSTANCE) then epoch.join() end
  changed = true
end

-- See Admission.
function decisions.vouch()
  epoch.vouch()
  changed = true
end

-- The instance lives. The requests whose call's owner has not been heard of for so long wait for it no more; the
-- call's slot stays held until its lease ends.
function decisions.renew()
  local abandoned = {}
  if redis.call('ZSCORE', ROSTER, INSTANCE) then redis.call('ZADD', ROSTER, now, INSTANCE) end
  epoch.forget_gone()
  for _, id in ipairs(redis.call('HVALS', CALLS)) do
    local flight = flights.of(id)
    local heard = tonumber(redis.call('ZSCORE', ROSTER, flight.call.owner) or -math.huge)
    if heard < now - policy.silent_seconds then
      for _, request_id in ipairs((settle(flight, 'LOST'))) do table.insert(abandoned, request_id) end
    end
  end
  return abandoned
end
