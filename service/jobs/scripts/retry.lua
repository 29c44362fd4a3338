-- Put the chunks that are not done, or have rows that failed, to do again. KEYS: job, active jobs, expiring jobs.
-- ARGV: name of the job. Answers the new attempt and the chunks; the phase if that forbids it, or if nothing failed;
-- nothing if there is no job.
local job = KEYS[1]
local phase = redis.call('HGET', job, 'phase')
if not phase or phase == 'QUEUED' or phase == 'EXECUTING' then
  return phase
end
local parts = redis.call('HGETALL', job .. ':parts')
for i = 1, #parts, 2 do
  local failed = tonumber(parts[i + 1]:match('%d+$'))
  if failed > 0 and redis.call('SADD', job .. ':todo', parts[i]) == 1 then
    redis.call('HINCRBY', job, 'done', -failed)
    redis.call('HINCRBY', job, 'failed', -failed)
  end
end
local todo = redis.call('SMEMBERS', job .. ':todo')
if #todo == 0 then
  return phase
end
local attempt = redis.call('HINCRBY', job, 'attempt', 1)
redis.call('HSET', job, 'phase', 'QUEUED')
redis.call('HDEL', job, 'error', 'ended', 'expires')
redis.call('DEL', job .. ':due', job .. ':pace')
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
table.insert(todo, 1, attempt)
return todo
