-- The slots: leases by when they end. What is held is counted from the leases themselves, never from a counter.

local slots = {}
local ENDS, LEASES, ENDED = key('leases'), key('lease'), key('ended')

function slots.look()
  slots.held, slots.leases, slots.at, slots.in_class = 0, {}, {}, { [0] = 0, 0, 0 }
  local records = redis.call('HGETALL', LEASES)
  sure(#records == 2 * redis.call('ZCARD', ENDS))
  if #records == 0 then return end
  local packed = {}
  for call_id, record in pairs_of(records) do packed[call_id] = record end
  for call_id, expires in pairs_of(redis.call('ZRANGE', ENDS, 0, -1, 'WITHSCORES')) do
    slots.note(call_id, cmsgpack.unpack(sure(packed[call_id])), tonumber(expires))
  end
end

function slots.note(call_id, lease, expires)
  lease.expires = expires
  slots.leases[call_id] = lease
  slots.held = slots.held + 1
  slots.at[lease.payer] = (slots.at[lease.payer] or 0) + 1
  if lease.class then slots.in_class[lease.class] = slots.in_class[lease.class] + 1 end
end

-- A lease that is held, or whose call was proven over, is not taken again.
function slots.take(call_id, lease, expires)
  if slots.leases[call_id] or redis.call('ZSCORE', ENDED, call_id) then return end
  redis.call('ZADD', ENDS, expires, call_id)
  save(LEASES, call_id, lease)
  slots.note(call_id, lease, expires)
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
