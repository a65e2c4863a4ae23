-- The fair queue in front of the workers: runs wait by tenant, and tenants take turns. See fair.py for the keys.
--
-- KEYS[1] begins all keys. ARGV: operation, most runs of a tenant at work (0: any number), milliseconds of a lease, the
-- same for a run that has been handed out and not begun, then what belongs to the operation.
--
-- Turns go by a clock that counts runs (start-time fair queueing). A tenant's first waiting run stands at `heads`, those
-- behind it one later each; the earliest of all goes next, and the clock is set to it. Who comes to the queue with
-- nothing waiting begins at the clock, or where its last turn left it: nobody saves up turns, nobody waits for more than
-- one turn of each other.
--
-- A run is waiting (in `since`), handed out (in `leases`), or at work (in `leases` and `holder`). Every operation may be
-- repeated after a lost reply.

local base = KEYS[1]
local operation, bound, lease, handed_for = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function key(name, of) return of and base .. ':' .. name .. ':' .. of or base .. ':' .. name end
local ASKS, RUNS, HEADS, LAST, CLOCK = key('asks'), key('runs'), key('heads'), key('last'), key('clock')
local SINCE, LEASES, HOLDER, BEGUN = key('since'), key('leases'), key('holder'), key('begun')
local WORKERS, CAPACITY, SWEPT = key('workers'), key('capacity'), key('swept')

local function clock() return tonumber(redis.call('GET', CLOCK) or 0) end

local function enqueue(run, tenant)
  if redis.call('RPUSH', key('wait', tenant), run) == 1 then
    redis.call('ZADD', HEADS, math.max(clock(), tonumber(redis.call('ZSCORE', LAST, tenant) or 0)), tenant)
  end
  redis.call('ZADD', SINCE, now, run)
end

local function unqueue(run, tenant)
  if redis.call('ZREM', SINCE, run) == 0 then return false end
  redis.call('LREM', key('wait', tenant), 1, run)
  if redis.call('EXISTS', key('wait', tenant)) == 0 then redis.call('ZREM', HEADS, tenant) end
  return true
end

-- No longer handed out or at work.
local function release(run, tenant)
  local worker = redis.call('HGET', HOLDER, run)
  if worker then
    redis.call('HDEL', HOLDER, run)
    redis.call('SREM', key('at', worker), run)
  end
  redis.call('SREM', key('busy', tenant), run)
  redis.call('ZREM', LEASES, run)
end

-- Back to where it was: before all others of its tenant.
local function requeue(run)
  local tenant = redis.call('HGET', RUNS, run)
  if not tenant then
    redis.call('ZREM', LEASES, run)
    return
  end
  release(run, tenant)
  if redis.call('LPUSH', key('wait', tenant), run) == 1 then
    redis.call('ZADD', HEADS, clock(), tenant)
  else
    redis.call('ZINCRBY', HEADS, -1, tenant)
  end
  redis.call('ZADD', SINCE, now, run)
end

local function finish(run)
  redis.call('SET', key('ended', run), '1', 'EX', 600)
  local tenant = redis.call('HGET', RUNS, run)
  if not tenant then return end
  unqueue(run, tenant)
  release(run, tenant)
  redis.call('HDEL', ASKS, run)
  redis.call('HDEL', RUNS, run)
  redis.call('HDEL', BEGUN, run)
end

local function hold(run, tenant, worker)
  unqueue(run, tenant)
  redis.call('HSET', HOLDER, run, worker)
  redis.call('SADD', key('at', worker), run)
  redis.call('SADD', key('busy', tenant), run)
  redis.call('ZADD', LEASES, now + lease, run)
end

-- How many runs workers that are there have room for, beside those on their way to them.
local function room()
  local free = redis.call('HLEN', HOLDER) - redis.call('ZCARD', LEASES)
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, now, '+inf')) do
    local capacity = tonumber(redis.call('HGET', CAPACITY, worker) or 0)
    free = free + math.max(0, capacity - redis.call('SCARD', key('at', worker)))
  end
  return free
end

-- Hand out what there is room for; returns the runs.
local function pump()
  local out = {}
  if redis.call('EXISTS', HEADS) == 0 then return out end
  local free, at = room(), 0
  while free > 0 do
    local head = redis.call('ZRANGE', HEADS, at, at, 'WITHSCORES')
    local tenant, turn = head[1], tonumber(head[2])
    if not tenant then break end
    if bound > 0 and redis.call('SCARD', key('busy', tenant)) >= bound then
      at = at + 1
    else
      turn = math.max(turn, clock())
      local run = redis.call('LPOP', key('wait', tenant))
      redis.call('SET', CLOCK, turn)
      redis.call('ZADD', LAST, turn + 1, tenant)
      redis.call('ZREMRANGEBYSCORE', LAST, '-inf', turn)
      if redis.call('EXISTS', key('wait', tenant)) == 1 then
        redis.call('ZADD', HEADS, turn + 1, tenant)
      else
        redis.call('ZREM', HEADS, tenant)
      end
      redis.call('ZREM', SINCE, run)
      redis.call('SADD', key('busy', tenant), run)
      redis.call('ZADD', LEASES, now + handed_for, run)
      out[#out + 1] = run
      free, at = free - 1, 0
    end
  end
  return out
end

-- Runs of which nothing was heard for too long go back. Where nobody has looked for a while (no worker was there, or
-- Redis was away) nobody could be heard either: their time begins anew.
local function sweep()
  local last = tonumber(redis.call('GET', SWEPT) or 0)
  redis.call('SET', SWEPT, now)
  for _, run in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, 200)) do
    if now - last > lease / 2 then
      redis.call('ZADD', LEASES, now + (redis.call('HEXISTS', HOLDER, run) == 1 and lease or handed_for), run)
    else
      requeue(run)
    end
  end
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '-inf', now - 86400000)) do
    redis.call('ZREM', WORKERS, worker)
    redis.call('HDEL', CAPACITY, worker)
  end
end

local function part(worker)
  for _, run in ipairs(redis.call('SMEMBERS', key('at', worker))) do requeue(run) end
  redis.call('ZREM', WORKERS, worker)
  redis.call('HDEL', CAPACITY, worker)
end

-- Every key that does not expire by itself.
local function all_keys()
  local keys = {ASKS, RUNS, HEADS, LAST, CLOCK, SINCE, LEASES, HOLDER, BEGUN, WORKERS, CAPACITY, SWEPT}
  for _, tenant in ipairs(redis.call('HVALS', RUNS)) do
    keys[#keys + 1] = key('wait', tenant)
    keys[#keys + 1] = key('busy', tenant)
  end
  for _, worker in ipairs(redis.call('ZRANGE', WORKERS, 0, -1)) do keys[#keys + 1] = key('at', worker) end
  return keys
end

local operations = {}

function operations.submit(run, tenant, ask)
  if redis.call('HEXISTS', RUNS, run) == 0 and redis.call('EXISTS', key('ended', run)) == 0 then
    redis.call('HSET', RUNS, run, tenant)
    redis.call('HSET', ASKS, run, ask)
    enqueue(run, tenant)
  end
  return pump()
end

-- How many begin before it, or -1.
function operations.place(run)
  local tenant = redis.call('HGET', RUNS, run)
  local ahead = tenant and redis.call('LPOS', key('wait', tenant), run)
  if not ahead then return -1 end
  local start = clock()
  local turn = math.max(start, tonumber(redis.call('ZSCORE', HEADS, tenant))) + ahead
  local heads = redis.call('ZRANGEBYSCORE', HEADS, '-inf', turn, 'WITHSCORES')
  for i = 1, #heads, 2 do
    local other = heads[i]
    if other ~= tenant then
      local sooner = turn - math.max(start, tonumber(heads[i + 1])) + (other < tenant and 1 or 0)
      ahead = ahead + math.max(0, math.min(sooner, redis.call('LLEN', key('wait', other))))
    end
  end
  return ahead
end

function operations.withdraw(run, token)
  local mark = key('withdrawn', run)
  if redis.call('GET', mark) == token then return 1 end
  local tenant = redis.call('HGET', RUNS, run)
  if not tenant or not unqueue(run, tenant) then return 0 end
  redis.call('HDEL', ASKS, run)
  redis.call('HDEL', RUNS, run)
  redis.call('HDEL', BEGUN, run)
  redis.call('SET', mark, token, 'EX', 60)
  return 1
end

function operations.depth()
  local oldest = redis.call('ZRANGE', SINCE, 0, 0, 'WITHSCORES')[2]
  return {redis.call('ZCARD', SINCE), redis.call('ZCARD', LEASES), oldest and now - tonumber(oldest) or -1}
end

-- The ask, and whether it has been begun before; nothing when it is not to be begun here.
function operations.begin(run, worker, token)
  local tenant, holder = redis.call('HGET', RUNS, run), redis.call('HGET', HOLDER, run)
  if not tenant or (holder and holder ~= worker) then return false end
  hold(run, tenant, worker)
  redis.call('HSETNX', BEGUN, run, token)
  return {redis.call('HGET', ASKS, run), redis.call('HGET', BEGUN, run) ~= token and 1 or 0}
end

-- A worker is there, with runs that have ended and runs at work, and knows of processes that are not. Returns the runs to
-- hand out, those that the worker has lost to another, those that are not known, all workers, and how many wait.
function operations.report(worker, capacity, alive, expires, dead, ended, ...)
  local words, lost, unknown = {...}, {}, {}
  redis.call('ZADD', WORKERS, now + tonumber(alive), worker)
  redis.call('HSET', CAPACITY, worker, capacity)
  for i = 1, tonumber(ended) do finish(words[i]) end
  for i = tonumber(ended) + 1, #words do
    local run = words[i]
    local tenant, holder = redis.call('HGET', RUNS, run), redis.call('HGET', HOLDER, run)
    if not tenant and redis.call('EXISTS', key('ended', run)) == 0 then
      unknown[#unknown + 1] = run
    elseif not tenant or (holder and holder ~= worker) then
      lost[#lost + 1] = run
    else
      hold(run, tenant, worker)
    end
  end
  for other in string.gmatch(dead, '%S+') do part(other) end
  sweep()
  local out = pump()
  if expires == '1' then
    for _, name in ipairs(all_keys()) do redis.call('EXPIRE', name, 3600) end
  end
  return {out, lost, unknown, redis.call('ZRANGE', WORKERS, 0, -1), redis.call('ZCARD', SINCE)}
end

-- A worker goes on with a run of which Redis has lost everything.
function operations.restore(run, tenant, ask, worker)
  redis.call('HSETNX', RUNS, run, tenant)
  redis.call('HSETNX', ASKS, run, ask)
  redis.call('HSETNX', BEGUN, run, 'restored')
  if redis.call('HEXISTS', HOLDER, run) == 0 then hold(run, tenant, worker) end
end

function operations.leave(worker, ...)
  for _, run in ipairs({...}) do finish(run) end
  part(worker)
  return pump()
end

function operations.forget()
  for _, name in ipairs(all_keys()) do redis.call('DEL', name) end
end

return operations[operation](unpack(ARGV, 5))
