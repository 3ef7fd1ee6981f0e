-- KEYS: the epoch, with what it belongs to; the entry.
-- ARGV: when the entry was issued; when it expires; how far clocks may differ. All in milliseconds.
-- Returns 0 if the entry is new, 1 if it is known, and 2 if it was issued before the epoch or has expired.
-- With the epoch alone, it begins an epoch if there is none.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- The process counts, not its data: the data may come from another process, or be older than what this one was told.
-- What it evicted counts too, because an entry may have been among it.
local info = redis.call('INFO', 'server', 'stats')
-- Searching for plain text is several times as fast as a pattern.
local function value(name, pattern)
  local _, last = string.find(info, '\n' .. name .. ':', 1, true)
  return last and string.match(info, pattern, last + 1)
end
local process, evicted = value('run_id', '^%w+'), value('evicted_keys', '^%d+')
if not process or not evicted then
  return redis.error_reply('ERR the server does not report its run_id and its evicted_keys')
end
local server = process .. ' ' .. evicted
local epoch, owner = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%w+ %d+)$')
epoch = tonumber(epoch)
if owner ~= server or epoch > now then
  epoch = now
  redis.call('SET', KEYS[1], string.format('%.0f %s', epoch, server))
end
if not KEYS[2] then
  return 2
end

local issued_at, expires_at, skew = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
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
