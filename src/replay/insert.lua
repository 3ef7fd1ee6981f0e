-- KEYS: since when which server remembers; the entry.
-- ARGV: issued at; to be remembered until; by how much clocks may differ. All in milliseconds.
-- Answers 0 first, 1 again, 2 forgotten.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local issued, till, skew = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

-- The process, not its data: that may be of another process, or older than what this one was told.
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
if not server then
  return redis.error_reply('ERR the server does not tell its run_id')
end
local since, of = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%w+)$')
since = tonumber(since)
if of ~= server or since > now then
  since = now
  redis.call('SET', KEYS[1], string.format('%.0f %s', since, server))
end

local left = till + skew - now
-- `iat` is in whole seconds: what is of the same second may be from before.
if math.floor((issued - skew) / 1000) <= math.floor(since / 1000) or left <= 0 then
  return 2
end
-- One second more: the server's clock of expiry is not quite that of TIME.
local px = string.format('%.0f', left + 1000)
if redis.call('SET', KEYS[2], '', 'NX', 'PX', px) then
  return 0
end
return 1
