-- Take a chunk in hand. KEYS: job. ARGV: chunk, attempt, lease in seconds.
-- Answers the attempt of the chunk's earlier part, -1 if there is none, nothing if the chunk is not wanted.
local job, chunk, attempt = KEYS[1], ARGV[1], ARGV[2]
local phase = redis.call('HGET', job, 'phase')
if (phase ~= 'QUEUED' and phase ~= 'EXECUTING') or redis.call('HGET', job, 'attempt') ~= attempt
    or redis.call('SISMEMBER', job .. ':todo', chunk) == 0 then
  return false
end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
if phase == 'QUEUED' then
  redis.call('HSET', job, 'phase', 'EXECUTING')
  redis.call('HSETNX', job, 'started', string.format('%.3f', now))
  redis.call('LPUSH', job .. ':pace', string.format('%.3f %s', now, redis.call('HGET', job, 'done')))
end
redis.call('ZADD', job .. ':due', now + ARGV[3], chunk)
local part = redis.call('HGET', job .. ':parts', chunk)
return part and tonumber(part:match('^%d+')) or -1
