-- A circuit breaker. Every operation is one run of this script, so it is atomic.
--
-- KEYS  1 hash: epoch (counts changes of state), till (open until then; absent: closed), opens (openings since it
--         was last closed), passed (probes that went well), probe (the last probe's number)
--       2 list: the latest results, newest first, "1@time" or "0@time"
--       3 sorted set: probes on their way, by the time at which their lease ends
-- ARGV  1 operation, 2 now or "" for the server's clock, 3-11 the policy, 12 ticket, 13 result
-- All times are milliseconds. A ticket is "epoch:probe", the probe empty while the breaker is closed. A ticket of
-- an earlier epoch says nothing of the present one: it only gives its lease back.

local hash, results, probes = KEYS[1], KEYS[2], KEYS[3]
local DAY = 86400000

local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local policy = {}
for i, name in ipairs({'calls', 'seconds', 'least', 'rate', 'streak', 'cooldown', 'longest', 'probes', 'lease'}) do
  policy[name] = tonumber(ARGV[2 + i])
end

local function window()
  local calls, failures, streak, unbroken = 0, 0, 0, true
  for _, result in ipairs(redis.call('LRANGE', results, 0, policy.calls - 1)) do
    if tonumber(string.sub(result, 3)) > now - policy.seconds then
      calls = calls + 1
      if string.sub(result, 1, 1) == '1' then
        unbroken = false
      else
        failures = failures + 1
        if unbroken then streak = streak + 1 end
      end
    end
  end
  return calls, failures, streak
end

local function open()
  local opens = redis.call('HINCRBY', hash, 'opens', 1)
  local wait = math.min(policy.cooldown * 2 ^ (opens - 1), policy.longest)
  redis.call('HSET', hash, 'till', math.floor(now + wait))
  redis.call('HDEL', hash, 'passed')
  redis.call('HINCRBY', hash, 'epoch', 1)
  redis.call('DEL', probes)
  redis.call('PEXPIRE', hash, math.floor(wait) + DAY)
end

local function close()
  redis.call('HDEL', hash, 'till', 'opens', 'passed')
  redis.call('HINCRBY', hash, 'epoch', 1)
  redis.call('DEL', results, probes)
  redis.call('PEXPIRE', hash, DAY)
end

local function admit()
  local stored = redis.call('HMGET', hash, 'till', 'epoch')
  local epoch = stored[2] or '0'
  if not stored[1] then return epoch .. ':' end
  if now < tonumber(stored[1]) then return false end
  redis.call('ZREMRANGEBYSCORE', probes, '-inf', now)
  if redis.call('ZCARD', probes) >= policy.probes then return false end
  local probe = redis.call('HINCRBY', hash, 'probe', 1)
  redis.call('ZADD', probes, now + policy.lease, probe)
  redis.call('PEXPIRE', probes, math.floor(policy.lease) + DAY)
  return epoch .. ':' .. probe
end

local function report(ticket, result)
  local epoch, probe = string.match(ticket, '^(%d+):(%d*)$')
  if probe ~= '' then redis.call('ZREM', probes, probe) end
  if result == '' or epoch ~= (redis.call('HGET', hash, 'epoch') or '0') then return end
  if probe ~= '' then
    if result == '0' then
      open()
    elseif redis.call('HINCRBY', hash, 'passed', 1) >= policy.probes then
      close()
    end
    return
  end
  redis.call('LPUSH', results, result .. '@' .. now)
  redis.call('LTRIM', results, 0, policy.calls - 1)
  redis.call('PEXPIRE', results, math.floor(policy.seconds))
  if result == '0' then
    local calls, failures, streak = window()
    if streak >= policy.streak or (calls >= policy.least and failures >= policy.rate * calls) then open() end
  end
end

local function state()
  local calls, failures = window()
  local till = redis.call('HGET', hash, 'till')
  if not till then return {'closed', calls, failures, 0} end
  local wait = tonumber(till) - now
  return {wait > 0 and 'open' or 'half_open', calls, failures, math.max(0, math.floor(wait))}
end

local operation = ARGV[1]
if operation == 'admit' then return admit() end
if operation == 'report' then return report(ARGV[12], ARGV[13]) end
if operation == 'state' then return state() end
if operation == 'reset' then return close() end
return redis.error_reply('unknown operation')
