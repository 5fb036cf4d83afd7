-- What every part stands on: the keys, packed records, sets that rank by two numbers, and this decision's arguments.
--
-- All keys begin with KEYS[1], whose hash tag keeps them in one slot of a cluster. Ids in keys are given their length,
-- so that no two things share a key. Nothing here is health data: ids, payers, and hashes of questions.

local PREFIX, COMMAND, CALLERS_TIME, INSTANCE, CALLERS_EPOCH, NONCE = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local policy, args = cmsgpack.unpack(ARGV[6]), cmsgpack.unpack(ARGV[7])

local NONE = cjson.null   -- packs as nil, which an array could not hold
local CLASSES = { 0, 1, 2 }   -- the most urgent first
local BATCH = 50          -- of what comes up by itself, so many a decision; what is left comes up in the next
local now                 -- seconds on the server's clock; never goes back (see epoch.lua)
local changed = false     -- whether other instances may have more to do after this decision

-- Made dozens of times a decision: so without a table for its parts.
local function key(name, one, two, three)
  if three then return PREFIX .. ':' .. name .. ':' .. one .. ':' .. two .. ':' .. three end
  if two then return PREFIX .. ':' .. name .. ':' .. one .. ':' .. two end
  if one then return PREFIX .. ':' .. name .. ':' .. one end
  return PREFIX .. ':' .. name
end

local function sized(id)
  return #id .. ':' .. id
end

local function load(hash, field)
  local packed = redis.call('HGET', hash, field)
  return packed and cmsgpack.unpack(packed) or nil
end

local function save(hash, field, record)
  redis.call('HSET', hash, field, cmsgpack.pack(record))
end

-- What the rest of the state says must be there. Where it is not, Redis threw a key away (`maxmemory-policy`) or somebody
-- deleted it: nothing of the state can be trusted then, and `epoch.lose` begins anew.
local LOST = {}

local function sure(found)
  if not found then error(LOST) end
  return found
end

local function pairs_of(flat)
  local index = -1
  return function()
    index = index + 2
    return flat[index], flat[index + 1]
  end
end

local function count(counter, field, by)
  if redis.call('HINCRBY', counter, field, by) == 0 then redis.call('HDEL', counter, field) end
end

local function number_of(counter, field)
  return tonumber(redis.call('HGET', counter, field) or 0)
end

-- Items by (rank, sequence): a sorted set by rank whose members begin with the sequence in fifteen digits, because
-- one score could not hold both exactly; a hash beside it knows every item's member.
local ranked = {}

function ranked.put(name, item, rank, sequence)
  local member = string.format('%015d', sequence) .. item
  local held = redis.call('HGET', name .. ':of', item)
  if held ~= member then
    if held then redis.call('ZREM', name, held) end
    redis.call('HSET', name .. ':of', item, member)
  end
  redis.call('ZADD', name, rank, member)
end

function ranked.discard(name, item)
  local held = redis.call('HGET', name .. ':of', item)
  if held then
    redis.call('ZREM', name, held)
    redis.call('HDEL', name .. ':of', item)
  end
end

function ranked.first(name, position)
  local found = redis.call('ZRANGE', name, position or 0, position or 0, 'WITHSCORES')
  if not found[1] then return nil end
  return { item = string.sub(found[1], 16), sequence = tonumber(string.sub(found[1], 1, 15)), rank = tonumber(found[2]) }
end
