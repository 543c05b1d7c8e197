/** What each inbox is on the server. */

const queueBytesMax = 256 * 1024 * 1024;
const absentMs = 5 * 60_000;
const untakenMs = 60 * 60_000;

export function isLasting(inbox: string): boolean {
  return inbox === 'hello' || inbox.startsWith('coordinator.');
}

export function queueOptions(inbox: string, isOld: boolean): { durable: boolean; arguments: Record<string, string | number> } {
  const bounded = { 'x-overflow': 'reject-publish', 'x-max-length-bytes': queueBytesMax };
  if (!isLasting(inbox)) {
    return { durable: !isOld, arguments: { ...bounded, 'x-queue-type': isOld ? 'classic' : 'quorum', 'x-expires': absentMs } };
  }
  const lasting = { ...bounded, 'x-queue-type': 'quorum', 'x-message-ttl': untakenMs };
  return { durable: true, arguments: inbox === 'hello' ? lasting : { ...lasting, 'x-expires': untakenMs } };
}
