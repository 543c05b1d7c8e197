/**
 * What travels on a worker's line: messages with the address that they are for, and words between the two ends of the broker.
 *
 * ```
 * u8 0   u8 bytes of the address, the address in UTF-8, the message to the end
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
const controlBytesMax = 4 * 1024;

/** The head that goes before a message's own chunks. */
export function addressed(address: string): Uint8Array {
  const addressBytes = Buffer.byteLength(address);
  if (addressBytes > addressBytesMax) throw new RangeError(`the address ${address} is longer than ${addressBytesMax} bytes`);
  const head = Buffer.allocUnsafe(2 + addressBytes);
  head[0] = kinds.message;
  head[1] = addressBytes;
  head.write(address, 2);
  return head;
}

export function control(word: Control): Uint8Array[] {
  return [Buffer.concat([Buffer.of(kinds.control), Buffer.from(JSON.stringify(word))])];
}

/** Undefined: it makes no sense. What is returned has the types that it says. */
export function openEnvelope(bytes: Uint8Array): Envelope | undefined {
  if (bytes[0] === kinds.message && bytes.length >= 2) {
    const start = 2 + bytes[1]!;
    if (start > bytes.length) return undefined;
    return { address: textOf(bytes.subarray(2, start)), message: bytes.subarray(start) };
  }
  return bytes[0] === kinds.control && bytes.length <= controlBytesMax ? openControl(bytes.subarray(1)) : undefined;
}

function openControl(bytes: Uint8Array): Envelope | undefined {
  try {
    const word: unknown = JSON.parse(textOf(bytes));
    return isControl(word) ? { control: word } : undefined;
  } catch {
    return undefined;
  }
}

function isControl(word: unknown): word is Control {
  if (typeof word !== 'object' || word === null) return false;
  const { say, address, id, probe } = word as Record<string, unknown>;
  const isAddress = typeof address === 'string' && Buffer.byteLength(address) <= addressBytesMax;
  switch (say as Control['say']) {
    case 'listen':
      return isAddress && Number.isSafeInteger(id);
    case 'unlisten':
      return isAddress;
    case 'listening':
      return Number.isSafeInteger(id);
    case 'probe':
    case 'probed':
      return Number.isSafeInteger(probe);
    default:
      return false;
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
}
