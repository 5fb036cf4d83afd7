"""What Redis does in one step: the scripts of the views. Each runs wholly or, refused, not at all."""

from __future__ import annotations

from typing import Final

STANDING: Final = """
-- Where the views stand, and some requests, at one moment. KEYS: progress, then a request each.
local found = {redis.call('HGET', KEYS[1], 'through')}
for i = 2, #KEYS do found[i] = redis.call('HMGET', KEYS[i], 't', 's') end
return found
"""

TAKE: Final = """
-- The next events of a partition into every view, together with how far that brings them.
-- KEYS: progress, marks, calls. ARGV: 1 the position this continues, 2 the one it reaches, 3 the oldest event's hour,
-- 4 the hour before which nothing is kept, 5 when all of this may go (ms), 6 what there is to do (MessagePack),
-- 7 and on: the values that it names by number.
-- Returns 0 and does nothing where the views stand elsewhere than at 1, or a request elsewhere than was thought:
-- another instance was faster, or Redis forgot.
local progress, marks, calls = KEYS[1], KEYS[2], KEYS[3]
if (redis.call('HGET', progress, 'through') or '0') ~= ARGV[1] then return 0 end

local todo = cmsgpack.unpack(ARGV[6])
for _, stood in ipairs(todo.stood) do  -- key, sequence
  if tonumber(redis.call('HGET', stood[1], 'q') or '0') ~= stood[2] then return 0 end
end
local function value(number) return ARGV[6 + number] end
for _, add in ipairs(todo.events) do  -- key, id, value, most, when it may go
  local added = redis.pcall('XADD', add[1], 'MAXLEN', add[4], add[2], 'e', value(add[3]))
  -- An id that is not the highest is refused: the event is there already.
  if type(added) == 'table' and added.err and not string.find(added.err, 'equal or smaller') then return added end
  redis.call('PEXPIREAT', add[1], add[5])
end
for _, own in ipairs(todo.requests) do
  local key = own.key
  local known = redis.call('HMGET', key, 'q', 'l')
  redis.call('HINCRBY', key, 'n', own.count)
  redis.call('HSET', key, 'x', own.last)
  redis.call('HSETNX', key, 'f', own.first)
  if own.sequence and own.sequence > tonumber(known[1] or '0') then  -- older never overwrites newer
    redis.call('HSET', key, 't', own.tenant, 's', value(own.state), 'q', own.sequence, 'l', own.list,
      'm', own.stream, 'k', todo.partition)
    if known[1] == false then
      redis.call('ZADD', own.listing, 0, own.entry)
      redis.call('ZREMRANGEBYLEX', own.listing, '-', '(' .. own.oldest)
      redis.call('PEXPIREAT', own.listing, own.expires)
    end
    if known[2] ~= own.list then
      if known[2] then redis.call('ZREM', known[2], own.entry) end
      redis.call('ZADD', own.list, 0, own.entry)
      redis.call('ZREMRANGEBYLEX', own.list, '-', '(' .. own.oldest)
      redis.call('PEXPIREAT', own.list, own.expires)
    end
    if own.ended then redis.call('ZREM', own.open, own.entry)
    elseif known[1] == false then redis.call('ZADD', own.open, 0, own.entry) end
  end
  redis.call('PEXPIREAT', key, own.expires)
end
for _, asked in ipairs(todo.people) do  -- key, person, when, oldest, when it may go
  redis.call('ZADD', asked[1], 'GT', asked[3], asked[2])
  redis.call('ZREMRANGEBYSCORE', asked[1], '-inf', '(' .. asked[4])
  redis.call('PEXPIREAT', asked[1], asked[5])
end
for _, call in ipairs(todo.calls) do  -- key, id, when it may go; of one that started: lease, value, tenant
  local known = redis.call('HMGET', call[1], 'e', 'u')
  if not call[4] then
    redis.call('HSET', call[1], 'e', 1)
    redis.call('HDEL', call[1], 'b')
    redis.call('ZREM', calls, call[2])
  elseif not known[1] and tonumber(call[4]) > tonumber(known[2] or '0') then
    redis.call('HSET', call[1], 'u', call[4], 'b', value(call[5]), 't', call[6])
    redis.call('ZADD', calls, call[4], call[2])
  end
  redis.call('PEXPIREAT', call[1], call[3])
end

local hour = redis.call('HGET', progress, 'hour')
if not hour or tonumber(ARGV[3]) > tonumber(hour) then  -- no event behind this position is of an earlier hour
  redis.call('ZADD', marks, ARGV[3], ARGV[1])
  redis.call('HSET', progress, 'hour', ARGV[3])
  redis.call('ZREMRANGEBYSCORE', marks, '-inf', '(' .. ARGV[4])
end
redis.call('HSET', progress, 'through', ARGV[2])
redis.call('HSETNX', progress, 'after', 0)
redis.call('PEXPIREAT', progress, ARGV[5])
redis.call('PEXPIREAT', marks, ARGV[5])
redis.call('PEXPIREAT', calls, ARGV[5])
return 1
"""

OF_REQUEST: Final = """
-- A request's events, and those between them. KEYS: request. ARGV: prefix of progress.
-- Returns tenant, how many are its own, how far the views stand, stream entries; nothing where it is not known.
local known = redis.call('HMGET', KEYS[1], 't', 'k', 'n', 'm', 'f', 'x')
if not known[1] then return nil end
local through = redis.call('HGET', ARGV[1] .. known[2], 'through') or '0'
return {known[1], known[3], through, redis.call('XRANGE', known[4], known[5] .. '-0', known[6] .. '-1')}
"""

BEGIN: Final = """
-- Nothing at or before a position can come any more. KEYS: progress. ARGV: the position, when this may go (ms).
local through = tonumber(redis.call('HGET', KEYS[1], 'through') or '0')
if through < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'through', ARGV[1], 'after', ARGV[1])
  redis.call('PEXPIREAT', KEYS[1], ARGV[2])
  return tonumber(ARGV[1])
end
return through
"""

EXTEND: Final = """
-- Keep a lock for longer, or free it (0 ms), if it is still the owner's. KEYS: lock. ARGV: owner, milliseconds.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
