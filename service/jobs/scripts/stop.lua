-- End a job before it is complete. KEYS: job, active jobs, expiring jobs. ARGV: name of the job, phase, reason,
-- lifetime. Answers the phase in which it is then, nothing if there is no job.
local job = KEYS[1]
local phase = redis.call('HGET', job, 'phase')
if phase ~= 'QUEUED' and phase ~= 'EXECUTING' then
  return phase
end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
redis.call('HSET', job, 'phase', ARGV[2], 'error', ARGV[3], 'ended', string.format('%.3f', now),
  'expires', string.format('%.3f', now + ARGV[4]))
redis.call('DEL', job .. ':due')
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], now + ARGV[4], ARGV[1])
return ARGV[2]
