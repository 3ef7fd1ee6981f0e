-- KEYS: the epoch, with the server process that it belongs to; the entry.
-- ARGV: when it was issued; when it expires; how far clocks may differ. All in milliseconds.
-- Returns 0 if the entry is new, 1 if it is known, and 2 if it was issued before the epoch or has expired.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local issued_at, expires_at, skew = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

-- The process counts, not its data: the data may come from another process, or be older than what this one was told.
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
if not server then
  return redis.error_reply('ERR the server does not report its run_id')
end
local epoch, owner = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%w+)$')
epoch = tonumber(epoch)
if owner ~= server or epoch > now then
  epoch = now
  redis.call('SET', KEYS[1], string.format('%.0f %s', epoch, server))
end

local left = expires_at + skew - now
-- `iat` is in whole seconds: what was issued in the second of the epoch may have been issued before it.
if math.floor((issued_at - skew) / 1000) <= math.floor(epoch / 1000) or left <= 0 then
  return 2
end
-- One second more, because the server's clock for expiry is not exactly that of TIME.
local px = string.format('%.0f', left + 1000)
if redis.call('SET', KEYS[2], '', 'NX', 'PX', px) then
  return 0
end
return 1
