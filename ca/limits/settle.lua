-- One request's charges and its token's use: all of it, or nothing. Times are microseconds of this server's clock.
-- The same rules as ca/limits/rate.py and ca/limits/model.py.
--
-- KEYS  one for each charge, then the token's where it is guarded
-- ARGV  for each charge its interval and capacity, then the token's key, window and lifetime
-- returns {what was refused, wait of each charge}: 0 nothing, -1 the token, else the charge's number

local SECOND = 1000000
local time = redis.call('TIME')
local now = time[1] * SECOND + time[2]
local guarded = #KEYS * 2 ~= #ARGV
local charges = guarded and #KEYS - 1 or #KEYS
local key, window, lifetime = ARGV[charges * 2 + 1], tonumber(ARGV[charges * 2 + 2]), tonumber(ARGV[charges * 2 + 3])

local bound = guarded and redis.call('GET', KEYS[#KEYS])
if bound then
  -- 32 bytes of the key's SHA-256, then the time of the first use.
  local first = tonumber(string.sub(bound, 33))
  if string.sub(bound, 1, 32) ~= key or (window > 0 and now > first + window) then
    return {-1}
  end
end

local answer, nexts, refused = {0}, {}, 0
for i = 1, charges do
  local interval, capacity = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local arrival = tonumber(redis.call('GET', KEYS[i]) or 0)
  if arrival < now or arrival > now + capacity + SECOND then
    arrival = now
  end
  nexts[i] = arrival + interval
  answer[i + 1] = math.max(0, nexts[i] - now - capacity)
  if answer[i + 1] > 0 and refused == 0 then
    refused = i
  end
end
if refused > 0 then
  answer[1] = refused
  return answer
end

-- tostring() would round what has more than 14 digits.
for i = 1, charges do
  local interval, capacity = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  answer[i + 1] = math.max(0, nexts[i] + interval - now - capacity)
  redis.call('SET', KEYS[i], string.format('%.0f', nexts[i]), 'PX', math.ceil((nexts[i] - now) / 1000) + 1)
end
if guarded and not bound then
  redis.call('SET', KEYS[#KEYS], key .. string.format('%.0f', now), 'PX', math.ceil(lifetime / 1000))
end
return answer
