-- The slots: leases by when they end. What is held is counted from the leases themselves, never from a counter.

local slots = {}
local ENDS, LEASES, ENDED = key('leases'), key('lease'), key('ended')

-- All leases are read in every decision: so one is packed without the names of its parts.
local function packed_lease(lease)
  local tenant, class = lease.tenant or false, lease.class or false
  return cmsgpack.pack({ lease.expires, lease.payer, tenant, class, lease.owner, lease.alone or false })
end

-- One that an earlier version packed has the names, but not when it ends.
local function lease_in(record, call_id)
  local parts = cmsgpack.unpack(record)
  if parts.payer then
    parts.expires = tonumber(sure(redis.call('ZSCORE', ENDS, call_id)))
    return parts
  end
  return {
    expires = sure(parts[1]), payer = parts[2], tenant = parts[3], class = parts[4], owner = parts[5], alone = parts[6],
  }
end

function slots.look()
  slots.held, slots.leases, slots.at, slots.in_class = 0, {}, {}, { [0] = 0, 0, 0 }
  local records = redis.call('HGETALL', LEASES)
  sure(#records == 2 * redis.call('ZCARD', ENDS))
  for index = 1, #records, 2 do slots.note(records[index], lease_in(records[index + 1], records[index])) end
end

function slots.note(call_id, lease)
  slots.leases[call_id] = lease
  slots.held = slots.held + 1
  slots.at[lease.payer] = (slots.at[lease.payer] or 0) + 1
  if lease.class then slots.in_class[lease.class] = slots.in_class[lease.class] + 1 end
end

-- A lease that is held, or whose call was proven over, is not taken again.
function slots.take(call_id, lease)
  if slots.leases[call_id] or redis.call('ZSCORE', ENDED, call_id) then return end
  redis.call('ZADD', ENDS, lease.expires, call_id)
  redis.call('HSET', LEASES, call_id, packed_lease(lease))
  slots.note(call_id, lease)
end

function slots.drop(call_id)
  local lease = slots.leases[call_id]
  slots.leases[call_id] = nil
  slots.held = slots.held - 1
  slots.at[lease.payer] = slots.at[lease.payer] - 1
  if lease.class then slots.in_class[lease.class] = slots.in_class[lease.class] - 1 end
  redis.call('ZREM', ENDS, call_id)
  redis.call('HDEL', LEASES, call_id)
end

-- The call was proven over, for good, however late a registration of it comes.
function slots.release(call_id)
  if slots.leases[call_id] then slots.drop(call_id) end
  redis.call('ZREMRANGEBYSCORE', ENDED, '-inf', now)
  redis.call('ZADD', ENDED, now + policy.lease_seconds, call_id)
end

function slots.free()
  return policy.slots - slots.held
end

function slots.next_end(payer)
  local first
  for _, lease in pairs(slots.leases) do
    if (not payer or lease.payer == payer) and (not first or lease.expires < first) then first = lease.expires end
  end
  return first
end
