/**
 * What is done in one go inside the server. All keys of a cluster have one hash tag, so scripts may build them from the
 * prefix that they are given.
 *
 *   shoal:{CLUSTER}:journal:closed            a set: ids of streams that are closed for ever
 *   shoal:{CLUSTER}:journal:format
 *   shoal:{CLUSTER}:journal:ID                a hash: seq → record (writer, sizes, the head's beginning)
 *   shoal:{CLUSTER}:journal:ID:SEQ            the body's beginning, if there is any
 *   shoal:{CLUSTER}:journal:ID:SEQ:OWNER:PART a piece of what is beyond; OWNER is the hash of its writer
 *   shoal:{CLUSTER}:journal:ID:pieces         a set: the ends of the pieces' keys
 */

/**
 * KEYS closed, format. ARGV prefix, then for each row: id, seq, the seq that must be there or nothing, the record's beginning
 * with the writer, record, body. Stores all or none. Answers "ok", or "closed", "taken", "lost" and which row.
 */
export const appendScript = `
local new = {}
for at = 2, #ARGV, 6 do
  local stream = ARGV[1] .. ARGV[at]
  if redis.call('SISMEMBER', KEYS[1], ARGV[at]) == 1 then return {'closed', (at - 2) / 6} end
  local there = redis.call('HGET', stream, ARGV[at + 1])
  if there then
    if string.sub(there, 1, #ARGV[at + 3]) ~= ARGV[at + 3] then return {'taken', (at - 2) / 6} end
  elseif ARGV[at + 2] ~= '' and redis.call('HEXISTS', stream, ARGV[at + 2]) == 0 then
    return {'lost', (at - 2) / 6}
  else
    new[#new + 1] = at
  end
end
redis.call('SETNX', KEYS[2], '1')
for _, at in ipairs(new) do
  local stream = ARGV[1] .. ARGV[at]
  if #ARGV[at + 5] > 0 then redis.call('SET', stream .. ':' .. ARGV[at + 1], ARGV[at + 5]) end
  redis.call('HSET', stream, ARGV[at + 1], ARGV[at + 4])
end
return {'ok'}`;

/** KEYS closed, stream. ARGV id, the end of the piece's key, its bytes. */
export const pieceScript = `
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then
  redis.call('SADD', KEYS[2] .. ':pieces', ARGV[2])
  redis.call('SETNX', KEYS[2] .. ':' .. ARGV[2], ARGV[3])
end`;

/** KEYS closed, stream. ARGV id, then for each range: seq, part, its first and its last byte. */
export const slicesScript = `
local found = {}
local isClosed = redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1
for at = 2, #ARGV, 4 do
  local seq, part = ARGV[at], ARGV[at + 1]
  local key = nil
  if isClosed or redis.call('HEXISTS', KEYS[2], seq) == 0 then key = nil
  elseif part == '0' then key = KEYS[2] .. ':' .. seq
  else
    local record = redis.call('HGET', KEYS[2], seq)
    local writer = string.sub(record, 3, 2 + string.byte(record, 1) * 256 + string.byte(record, 2))
    key = KEYS[2] .. ':' .. seq .. ':' .. redis.sha1hex(writer) .. ':' .. part
    if redis.call('EXISTS', key) == 0 then key = nil end
  end
  if key == nil then found[#found + 1] = false
  elseif tonumber(ARGV[at + 3]) < tonumber(ARGV[at + 2]) then found[#found + 1] = ''
  else found[#found + 1] = redis.call('GETRANGE', key, ARGV[at + 2], ARGV[at + 3]) end
end
return found`;

/**
 * KEYS closed, a key that is never there. ARGV ids. A full server must let us free room, and takes a first command that needs
 * none for the beginning of that.
 */
export const closeScript = `
redis.call('UNLINK', KEYS[2])
for _, id in ipairs(ARGV) do redis.call('SADD', KEYS[1], id) end`;

/** KEYS stream, of a closed one. ARGV what is scanned (HSCAN entries, SSCAN pieces), cursor. A bite; answers the next cursor. */
export const dropScript = `
local isEntries = ARGV[1] == 'HSCAN'
local of = isEntries and KEYS[1] or (KEYS[1] .. ':pieces')
local scanned = redis.call(ARGV[1], of, ARGV[2], 'COUNT', 200)
for at = 1, #scanned[2], isEntries and 2 or 1 do
  redis.call('UNLINK', KEYS[1] .. ':' .. scanned[2][at])
  redis.call(isEntries and 'HDEL' or 'SREM', of, scanned[2][at])
end
return scanned[1]`;
