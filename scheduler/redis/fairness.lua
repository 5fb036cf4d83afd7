-- Start-time fair queuing over all instances; scheduler/fairness.py tells why it is done so.
--
-- Of each class: every tenant's line {start tag, calls charged by an estimate, which line of its name, calls waiting},
-- its due calls in the order of arrival, the same by payer, and the first tenant of every payer. A grant looks at the
-- first payers only; a place is read off the lines, without looking at what waits in them.

local fair = {}
local QUANTUM_SECONDS, CATCH_UP_SECONDS = 60, 120
local VIRTUAL = key('virtual')

local function lines(class) return key('line', class) end
local function idle(class) return key('idle', class) end
local function due(class, tenant) return key('due', class, sized(tenant)) end
local function lane(class, tenant, payer) return key('lane', class, sized(tenant), sized(payer)) end
local function lanes(class, tenant) return key('lanes', class, sized(tenant)) end
local function at(class, payer) return key('at', class, sized(payer)) end
local function heads(class, payer) return key('heads', class, sized(payer)) end
local function payers_of(class) return key('payers', class) end

local function weight(tenant) return policy.weights[tenant] or 1 end

-- A line is read for every tenant when a place is told: so it is packed as plain numbers.
local LINE = '>dI4I4d'

local function unpacked(packed)
  local start, charged, waiting, number = struct.unpack(LINE, packed)
  return { start = start, charged = charged, waiting = waiting, number = number }
end

local function line_of(class, tenant)
  local packed = redis.call('HGET', lines(class), tenant)
  return packed and unpacked(packed) or nil
end

local function keep_line(class, tenant, line)
  local packed = struct.pack(LINE, line.start, line.charged, line.waiting, line.number)
  redis.call('HSET', lines(class), tenant, packed)
end

local function virtual_time(class)
  return tonumber(redis.call('HGET', VIRTUAL, class) or 0)
end

local function rank(class, tenant, line, payer)
  local oldest = redis.call('ZRANGE', lane(class, tenant, payer), 0, 0)[1]
  local of_payer = heads(class, payer)
  if oldest then
    ranked.put(of_payer, tenant, math.floor(line.start / QUANTUM_SECONDS), tonumber(oldest))
  else
    ranked.discard(of_payer, tenant)
  end
  local first = ranked.first(of_payer)
  if first then
    ranked.put(payers_of(class), payer, first.rank, first.sequence)
  else
    ranked.discard(payers_of(class), payer)
  end
end

-- The line's start tag moved: within one quantum that changes no order.
local function move(class, tenant, line, start)
  local before = math.floor(line.start / QUANTUM_SECONDS)
  line.start = start
  keep_line(class, tenant, line)
  if math.floor(start / QUANTUM_SECONDS) ~= before then
    for _, payer in ipairs(redis.call('SMEMBERS', lanes(class, tenant))) do rank(class, tenant, line, payer) end
  end
end

-- Forget the tenant as soon as that earns it nothing, and all debts once nobody of the class waits.
local function retire(class, tenant, line)
  if redis.call('ZCARD', payers_of(class)) == 0 then
    redis.call('DEL', lines(class), idle(class))
  elseif line.waiting == 0 and line.charged == 0 then
    redis.call('ZADD', idle(class), line.start, tenant)
  end
end

-- The call is due. A tenant that comes back starts at the present virtual time: idling earns nothing.
function fair.add(flight)
  local class, tenant, payer = flight.class, flight.tenant, flight.payer
  local line = line_of(class, tenant)
  if not line then
    line = { start = virtual_time(class), charged = 0, waiting = 0, number = redis.call('HINCRBY', META, 'lines', 1) }
  elseif line.waiting == 0 then
    line.start = math.max(line.start, virtual_time(class))
    redis.call('ZREM', idle(class), tenant)
  end
  line.waiting = line.waiting + 1
  keep_line(class, tenant, line)
  redis.call('ZADD', due(class, tenant), flight.id, flight.id)
  redis.call('ZADD', lane(class, tenant, payer), flight.id, flight.id)
  redis.call('SADD', lanes(class, tenant), payer)
  redis.call('HINCRBY', at(class, payer), tenant, 1)
  rank(class, tenant, line, payer)
end

-- The call is made, or nobody waits for it any more.
function fair.remove(flight)
  local class, tenant, payer = flight.class, flight.tenant, flight.payer
  local line = sure(line_of(class, tenant))
  line.waiting = line.waiting - 1
  keep_line(class, tenant, line)
  redis.call('ZREM', due(class, tenant), flight.id)
  redis.call('ZREM', lane(class, tenant, payer), flight.id)
  count(at(class, payer), tenant, -1)
  if redis.call('EXISTS', lane(class, tenant, payer)) == 0 then redis.call('SREM', lanes(class, tenant), payer) end
  rank(class, tenant, line, payer)
  retire(class, tenant, line)
end

-- The id of the call that goes next, of the payers that are not shut.
function fair.first(class, shut)
  local position = 0
  while true do
    local first = ranked.first(payers_of(class), position)
    if not first then return nil end
    if not shut[first.item] then return first.sequence end
    position = position + 1
  end
end

-- The waiting call is made, for an estimate of its slot-time; the number of the line to correct, once.
function fair.charge(flight, seconds)
  local class, tenant = flight.class, flight.tenant
  local line, virtual = sure(line_of(class, tenant)), virtual_time(class)
  local start = math.max(line.start, virtual - CATCH_UP_SECONDS)
  virtual = math.max(virtual, start)
  redis.call('HSET', VIRTUAL, class, virtual)
  line.charged = line.charged + 1
  move(class, tenant, line, start + seconds / weight(tenant))
  fair.remove(flight)
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', idle(class), '-inf', virtual, 'LIMIT', 0, BATCH)) do
    redis.call('ZREM', idle(class), gone)
    redis.call('HDEL', lines(class), gone)
  end
  return line.number
end

-- A call that was charged to this line took so much longer (or, negative, less long).
function fair.correct(class, tenant, number, seconds)
  local line = line_of(class, tenant)
  if not line or line.number ~= number then return end
  line.charged = line.charged - 1
  move(class, tenant, line, line.start + seconds / weight(tenant))
  retire(class, tenant, line)
end

function fair.any_due(class)
  return redis.call('ZCARD', payers_of(class)) > 0
end

function fair.is_due_at(class, payer)
  return redis.call('EXISTS', at(class, payer)) == 1
end

-- How many of a line's calls, at that cost each, go before one in the quantum that begins at `edge`.
local function turns_before(class, tenant, start, calls, edge, flight, cost_seconds)
  local share = policy.weights[tenant] or 1
  local turns = start < edge and math.ceil((edge - start) * share / cost_seconds) or 0
  if turns >= calls then return calls end
  local earlier = calls
  if not flight.newest then earlier = redis.call('ZCOUNT', due(class, tenant), '-inf', '(' .. flight.id) end
  if earlier <= turns then return turns end
  return math.max(turns, math.min(earlier, math.ceil((edge + QUANTUM_SECONDS - start) * share / cost_seconds)))
end

-- How many go before this call, in all and at its payer, counting only payers that are not shut.
function fair.ahead(flight, shut, cost_seconds)
  local class, tenant, payer, before = flight.class, flight.tenant, flight.payer, '(' .. flight.id
  local start, total, at_payer = virtual_time(class), 0, 0
  local own = line_of(class, tenant)
  if own then
    start = own.waiting > 0 and own.start or math.max(own.start, start)
    total = redis.call('ZCOUNT', due(class, tenant), '-inf', before)
    at_payer = redis.call('ZCOUNT', lane(class, tenant, payer), '-inf', before)
  end
  local at_own, barred = {}, {}
  for other, waiting in pairs_of(redis.call('HGETALL', at(class, payer))) do at_own[other] = tonumber(waiting) end
  for closed in pairs(shut) do
    if own then total = total - redis.call('ZCOUNT', lane(class, tenant, closed), '-inf', before) end
    for other, waiting in pairs_of(redis.call('HGETALL', at(class, closed))) do
      barred[other] = (barred[other] or 0) + tonumber(waiting)
    end
  end
  start = start + total * cost_seconds / weight(tenant)
  local edge = start - start % QUANTUM_SECONDS
  local found = redis.call('HGETALL', lines(class))
  for index = 1, #found, 2 do
    local other = found[index]
    local begins, _, calls = struct.unpack(LINE, found[index + 1])
    if other ~= tenant and calls > 0 and begins < edge + QUANTUM_SECONDS then
      local turns = turns_before(class, other, begins, calls, edge, flight, cost_seconds)
      total = total + math.min(turns, calls - (barred[other] or 0))
      if at_own[other] then at_payer = at_payer + math.min(turns, at_own[other]) end
    end
  end
  return total, at_payer
end
