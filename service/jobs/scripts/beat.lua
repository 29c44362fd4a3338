-- Say that a chunk is in good hands. KEYS: job. ARGV: chunk, attempt, seconds until it is heard of again, and what it
-- waits for, if anything. Answers 1 if the chunk is still wanted, 0 otherwise.
local job, chunk = KEYS[1], ARGV[1]
if redis.call('HGET', job, 'phase') ~= 'EXECUTING' or redis.call('HGET', job, 'attempt') ~= ARGV[2]
    or redis.call('SISMEMBER', job .. ':todo', chunk) == 0 then
  return 0
end
local time = redis.call('TIME')
redis.call('ZADD', job .. ':due', time[1] + ARGV[3], chunk)
if ARGV[4] ~= '' then
  redis.call('HSET', job, 'error', ARGV[4])
end
return 1
