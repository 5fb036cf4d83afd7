-- The time, and how far what this server knows can be trusted.
--
-- An epoch is one unbroken life of the state. A server that is another process than the one that wrote it (restarted,
-- or a replica that took over and may lag), an empty one, and a clock that leapt each begin a new one: calls may be
-- under way that the state does not know. No slot is granted then until every instance that could have been granted
-- one has told what it holds, or until the longest lease has passed.

local epoch = {}
local GAP_SECONDS = 30    -- instances are heard of every ten seconds: a longer silence is a leap, or nobody was there
local META = key('meta')
local ROSTER, JOINED, UNHEARD = key('roster'), key('joined'), key('unheard')

local function begin_epoch(run, known)
  epoch.id, epoch.from, epoch.known = NONCE, now + policy.lease_seconds, known
  redis.call('HSET', META, 'run', run, 'epoch', epoch.id, 'from', epoch.from, 'known', known and 1 or 0)
  redis.call('DEL', UNHEARD)
  for _, instance in ipairs(redis.call('ZRANGE', ROSTER, 0, -1)) do
    redis.call('SADD', UNHEARD, instance)
    redis.call('ZADD', ROSTER, now, instance)   -- it may have been granted slots until this moment
  end
end

-- Forget all that is left, and begin as on a server that was emptied. Looks at every key of the database once.
function epoch.lose()
  local cursor = '0'
  repeat
    local found = redis.call('SCAN', cursor, 'MATCH', PREFIX .. ':*', 'COUNT', 1000)
    cursor = found[1]
    for _, name in ipairs(found[2]) do redis.call('DEL', name) end
  until cursor == '0'
  redis.call('HSET', META, 'time', now, 'offset', epoch.offset)
  begin_epoch(epoch.run, false)
  changed = true
end

function epoch.look()
  local held = redis.call('HMGET', META, 'time', 'offset', 'run', 'epoch', 'from', 'known')
  local last, offset = tonumber(held[1]), tonumber(held[2] or 0)
  local leapt = false
  if CALLERS_TIME ~= '' then
    now = tonumber(CALLERS_TIME)
  else
    local time = redis.call('TIME')
    local clock = tonumber(time[1]) + tonumber(time[2]) / 1000000
    now = clock + offset
    if last and now < last then
      now, offset = last, last - clock
    end
    leapt = last ~= nil and now - last > GAP_SECONDS
  end
  redis.call('HSET', META, 'time', now, 'offset', offset)
  epoch.run, epoch.offset = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)'), offset
  epoch.id, epoch.from, epoch.known = held[4], tonumber(held[5]), held[6] == '1'
  if not epoch.id then
    if redis.call('EXISTS', ROSTER, key('flights'), key('requests'), key('calls'), key('lease'), key('leases')) > 0 then
      epoch.lose()
    else
      begin_epoch(epoch.run, false)
    end
  elseif held[3] ~= epoch.run or leapt then
    -- Who may hold slots is known if it was before, or if whoever was not known then cannot hold any more.
    begin_epoch(epoch.run, epoch.known or last >= epoch.from)
  end
end

-- Joins the instance to those that may be granted slots. It is granted none until that cannot be lost any more: a
-- failover forgets no more than the last `lag_seconds`.
function epoch.join()
  local anew = redis.call('ZADD', ROSTER, now, INSTANCE) == 1
  redis.call(anew and 'HSET' or 'HSETNX', JOINED, INSTANCE, now)
  redis.call('SREM', UNHEARD, INSTANCE)
end

-- Whoever was not heard of for a lease's time holds nothing any more; but nobody is gone before it counts as silent.
function epoch.forget_gone()
  local since = math.max(policy.lease_seconds, policy.silent_seconds)
  for _, instance in ipairs(redis.call('ZRANGEBYSCORE', ROSTER, '-inf', now - since)) do
    redis.call('ZREM', ROSTER, instance)
    redis.call('HDEL', JOINED, instance)
    redis.call('SREM', UNHEARD, instance)
  end
end

-- The log has no open request, and the calls it cannot account for are held: nothing else can be under way, since what
-- an earlier epoch granted was granted to an open request, and is not sent for one that has ended.
function epoch.vouch()
  epoch.from, epoch.known = now, true
  redis.call('HSET', META, 'from', now, 'known', 1)
  redis.call('DEL', UNHEARD)
end

-- When this instance may be granted slots.
function epoch.grants_from()
  local joined = tonumber(redis.call('HGET', JOINED, INSTANCE) or now)
  local from = joined + policy.lag_seconds
  if now < epoch.from and not (epoch.known and redis.call('SCARD', UNHEARD) == 0) then
    from = math.max(from, epoch.from)
  end
  return from
end
