/** ids that sort by time: 48 bits of milliseconds and 80 random bits in Crockford's base 32 (https://github.com/ulid/spec). */
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';

/** `random`: 10 bytes, unguessable where the id must be. */
export function ulid(wallMs: number, random: Uint8Array): string {
  let time = Math.floor(wallMs);
  let head = '';
  for (let i = 0; i < 10; i++) {
    head = alphabet[time % 32]! + head;
    time = Math.floor(time / 32);
  }
  let tail = '';
  let bits = 0;
  let held = 0;
  for (const byte of random) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      tail += alphabet[(held >>> bits) & 31];
    }
  }
  return head + tail;
}
