-- Count a stored part, once. KEYS: job, active jobs, expiring jobs. ARGV: name of the job, chunk, attempt, rows
-- measured, rows failed, lifetime. Answers 1 if it was counted, 0 if it was not wanted, nothing if there is no job.
local job, chunk, attempt = KEYS[1], ARGV[2], ARGV[3]
local phase = redis.call('HGET', job, 'phase')
if not phase then
  return false
end
if phase ~= 'EXECUTING' or redis.call('HGET', job, 'attempt') ~= attempt
    or redis.call('SREM', job .. ':todo', chunk) == 0 then
  return 0
end
-- What an earlier attempt measured has been counted.
local part = redis.call('HGET', job .. ':parts', chunk)
local before = part and tonumber(part:match('^%d+ (%d+)')) or 0
redis.call('HSET', job .. ':parts', chunk, attempt .. ' ' .. ARGV[4] .. ' ' .. ARGV[5])
local done = redis.call('HINCRBY', job, 'done', ARGV[4] + ARGV[5] - before)
redis.call('HINCRBY', job, 'failed', ARGV[5])
redis.call('ZREM', job .. ':due', chunk)
redis.call('HDEL', job, 'error')
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
redis.call('LPUSH', job .. ':pace', string.format('%.3f %d', now, done))
redis.call('LTRIM', job .. ':pace', 0, 19)
if redis.call('SCARD', job .. ':todo') == 0 then
  redis.call('HSET', job, 'phase', 'COMPLETED', 'ended', string.format('%.3f', now),
    'expires', string.format('%.3f', now + ARGV[6]))
  redis.call('SREM', KEYS[2], ARGV[1])
  redis.call('ZADD', KEYS[3], now + ARGV[6], ARGV[1])
end
return 1
