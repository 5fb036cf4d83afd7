-- What operators see, and how a decision is taken and answered.

-- {slots, held, classes, tenants, payers}; the last three {id, waiting, in flight, ...}
function decisions.status()
  local classes, tenants, of_payers, in_flight = {}, {}, {}, {}
  for _, lease in pairs(slots.leases) do
    if lease.tenant then in_flight[lease.tenant] = (in_flight[lease.tenant] or 0) + 1 end
  end
  local waits_of = {}
  for tenant, calls in pairs_of(redis.call('HGETALL', BY_TENANT)) do waits_of[tenant] = tonumber(calls) end
  for tenant in pairs(in_flight) do waits_of[tenant] = waits_of[tenant] or 0 end
  for tenant, calls in pairs(waits_of) do table.insert(tenants, { tenant, calls, in_flight[tenant] or 0 }) end
  local at_payer = {}
  for _, class in ipairs(CLASSES) do
    table.insert(classes, { class, waiting.of_class(class), slots.in_class[class] })
    for payer, calls in pairs_of(redis.call('HGETALL', key('waiting-payers', class))) do
      at_payer[payer] = (at_payer[payer] or 0) + tonumber(calls)
    end
  end
  local known = redis.call('ZRANGEBYSCORE', SEEN, '(' .. (now - RECENT_SECONDS), '+inf')
  for _, payer in ipairs(redis.call('HKEYS', DOWN)) do table.insert(known, payer) end
  for _, payer in ipairs(redis.call('HKEYS', FAILING)) do table.insert(known, payer) end
  for payer, held in pairs(slots.at) do
    if held > 0 then table.insert(known, payer) end
  end
  for _, payer in ipairs(known) do at_payer[payer] = at_payer[payer] or 0 end
  for payer, calls in pairs(at_payer) do
    table.insert(of_payers, { payer, calls, slots.at[payer] or 0, payers.state(payer), payers.median(payer) or NONE })
  end
  return { policy.slots, slots.held, classes, tenants, of_payers }
end

local function decide()
  if COMMAND ~= 'room' then   -- asked before every submit; it looks at the queue only
    slots.look()
    flights.look()
    advance()
  end
  local decided = decisions[COMMAND]()
  if decided == nil then return NONE end
  return decided
end

-- No call, no request: if it is lost on its way, it may as well be decided anew.
local function tells_nothing(decided)
  return type(decided) == 'table' and (#decided == 0 or decided[1] == NONE)
end

-- {epoch, answer, whether it was decided}; nothing is for an instance that has not met this epoch, until it has
-- registered.
local function answer()
  epoch.look()
  if CALLERS_EPOCH ~= epoch.id and COMMAND ~= 'register' then return cmsgpack.pack({ epoch.id, NONE, false }) end
  if args.kept then
    local given = redis.call('GET', key('answer', NONCE))
    if given then return given end
  end
  local whole, decided = pcall(decide)
  if not whole then
    if decided ~= LOST then error(decided, 0) end
    epoch.lose()
    decided = NONE
  end
  local packed = cmsgpack.pack({ epoch.id, decided, whole })
  if whole and args.kept and not tells_nothing(decided) then
    redis.call('SET', key('answer', NONCE), packed, 'PX', math.floor(policy.lease_seconds * 1000))
  end
  if changed then redis.call('PUBLISH', key('changed'), INSTANCE) end
  return packed
end

return answer()
