-- Find the chunks that have been lost: not done, not in the queue, and not heard of in time. A chunk that was never
-- heard of gets its time from now on. KEYS: job. ARGV: lease in seconds, then the chunks that wait in the queue.
-- Answers the attempt and the chunks; nothing if the job is not to be worked on.
local job = KEYS[1]
local phase = redis.call('HGET', job, 'phase')
if phase ~= 'QUEUED' and phase ~= 'EXECUTING' then
  return false
end
local waiting = {}
for i = 2, #ARGV do
  waiting[ARGV[i]] = true
end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local lost = {redis.call('HGET', job, 'attempt')}
for _, chunk in ipairs(redis.call('SMEMBERS', job .. ':todo')) do
  if not waiting[chunk] then
    local due = redis.call('ZSCORE', job .. ':due', chunk)
    if not due or tonumber(due) < now then
      redis.call('ZADD', job .. ':due', now + ARGV[1], chunk)
    end
    if due and tonumber(due) < now then
      lost[#lost + 1] = chunk
    end
  end
end
return lost
