/**
 * What travels on a worker's line: messages with the address that they are for, and words between the two ends of the broker.
 *
 * ```
 * u8 0   u8 length of the address, the address in ASCII, the message to the end
 * u8 1   JSON: a Control
 * ```
 */

/** `id` and `probe` are echoed by the other end. */
export type Control =
  | { say: 'listen'; address: string; id: number }
  | { say: 'unlisten'; address: string }
  | { say: 'listening'; id: number }
  | { say: 'probe'; probe: number }
  | { say: 'probed'; probe: number };

export type Envelope = { address: string; message: Uint8Array } | { control: Control };

const kinds = { message: 0, control: 1 } as const;
const addressBytesMax = 255;

/** The head that goes before a message's own chunks. */
export function addressed(address: string): Uint8Array {
  const head = Buffer.allocUnsafe(2 + address.length);
  if (address.length > addressBytesMax) throw new RangeError(`the address ${address} is longer than ${addressBytesMax}`);
  head[0] = kinds.message;
  head[1] = address.length;
  head.write(address, 2, 'latin1');
  return head;
}

export function control(word: Control): Uint8Array[] {
  return [Buffer.concat([Buffer.of(kinds.control), Buffer.from(JSON.stringify(word))])];
}

/** Undefined: it makes no sense. */
export function openEnvelope(bytes: Uint8Array): Envelope | undefined {
  if (bytes[0] === kinds.message && bytes.length >= 2) {
    const start = 2 + bytes[1]!;
    if (start > bytes.length) return undefined;
    return { address: textOf(bytes.subarray(2, start), 'latin1'), message: bytes.subarray(start) };
  }
  if (bytes[0] !== kinds.control) return undefined;
  try {
    const word = JSON.parse(textOf(bytes.subarray(1), 'utf8')) as Control;
    return typeof word === 'object' && word !== null && typeof word.say === 'string' ? { control: word } : undefined;
  } catch {
    return undefined;
  }
}

function textOf(bytes: Uint8Array, encoding: 'latin1' | 'utf8'): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(encoding);
}
