/**
 * Frames: messages between processes, and the heads of journal entries. One layout for both, generic over
 * plain objects: a Uint32Array field is a column, `body` is payload, the rest is small JSON.
 *
 * ```
 * u8   0x5f            u8   version (1)      u8   1 message, 2 message with a body, 3 facts     u8   0
 * u32  bytes of JSON   (little endian, like all numbers here)
 * JSON [[fields, column name, …], …]         one inner array per object; a message is one object
 * for each column, in the order of the names:
 *   u8 bytes a number (1, 2 or 4: the least that holds the largest)   u32 count   the numbers
 * body, to the end
 * ```
 *
 * Payload is never copied: `encodeMessage` passes the body's chunks on, `decodeMessage` returns one view of it.
 * Columns are copied, so that who keeps them does not keep the frame. Only top-level fields can be columns;
 * numbers that JSON does not know (NaN, Infinity) are not for messages.
 *
 * Who decodes trusts the layout afterwards, and nothing else: which kinds and values make sense is for the
 * reader to judge. Golden samples in golden/ pin the bytes; a change of them is a new version.
 */
import type { FromClient, FromWorker, ToClient, ToWorker } from '../core/messages.ts';
import { ShoalError } from '../lib/errors.ts';

export type Message = FromWorker | ToWorker | FromClient | ToClient;

/** SH3201: bytes that are no frame, or one of another version. */
export class FrameError extends ShoalError {
  override readonly name = 'FrameError';
  constructor(why: string, options: { hint?: string; cause?: unknown } = {}) {
    super('SH3201', 'a message cannot be read', { why, ...options });
  }
}

const magic = 0x5f;
const frameVersion = 1;
const kinds = { message: 1, messageWithBody: 2, facts: 3 } as const;
type Kind = (typeof kinds)[keyof typeof kinds];
const fixedBytes = 8;
const columnHeadBytes = 5;

/** The header chunk, and then the body's own chunks. */
export function encodeMessage(message: Message): Uint8Array[] {
  const body = 'body' in message ? message.body : undefined;
  const head = encodeObjects(body ? kinds.messageWithBody : kinds.message, [message]);
  return body ? [head, ...body] : [head];
}

/** `M` is what the sender is known to say; only the layout is checked here, and that it has a `kind`. */
export function decodeMessage<M extends Message>(bytes: Uint8Array): M {
  const { kind, objects, end } = decodeObjects(bytes);
  const message = objects[0];
  if (kind === kinds.facts || objects.length !== 1 || !message) throw new FrameError('it holds no message');
  if (typeof message.kind !== 'string') throw new FrameError('it is of no kind');
  if (kind === kinds.messageWithBody) message.body = end === bytes.length ? [] : [viewOf(bytes, end)];
  else if (end !== bytes.length) throw new FrameError(`it has ${bytes.length - end} bytes too many`);
  return message as unknown as M;
}

/** Facts are plain objects that name themselves in `fact`. */
export function encodeHead<F extends { readonly fact: string }>(facts: readonly F[]): Uint8Array {
  return encodeObjects(kinds.facts, facts);
}

export function decodeHead<F extends { readonly fact: string }>(bytes: Uint8Array): F[] {
  const { kind, objects, end } = decodeObjects(bytes);
  if (kind !== kinds.facts) throw new FrameError('it holds a message where facts were expected');
  if (end !== bytes.length) throw new FrameError(`it has ${bytes.length - end} bytes too many`);
  for (const fact of objects) if (typeof fact.fact !== 'string') throw new FrameError('a fact has no name');
  return objects as unknown as F[];
}

function encodeObjects(kind: Kind, objects: readonly object[]): Uint8Array {
  const columns: Uint32Array[] = [];
  const widths: number[] = [];
  let columnBytes = 0;
  const entries = objects.map((object) => {
    const fields: Record<string, unknown> = {};
    const entry: unknown[] = [fields];
    for (const name in object) {
      const value = (object as Record<string, unknown>)[name];
      if (value instanceof Uint32Array) {
        entry.push(name);
        const width = widthOf(value);
        columns.push(value);
        widths.push(width);
        columnBytes += columnHeadBytes + width * value.length;
      } else if (name !== 'body') fields[name] = value;
    }
    return entry;
  });
  const json = JSON.stringify(entries);
  const jsonBytes = Buffer.byteLength(json);
  const frame = Buffer.allocUnsafe(fixedBytes + jsonBytes + columnBytes);
  frame[0] = magic;
  frame[1] = frameVersion;
  frame[2] = kind;
  frame[3] = 0;
  writeUint32(frame, 4, jsonBytes);
  frame.write(json, fixedBytes, jsonBytes, 'utf8');
  let at = fixedBytes + jsonBytes;
  for (let i = 0; i < columns.length; i++) at = writeColumn(frame, at, columns[i]!, widths[i]!);
  return frame;
}

function widthOf(column: Uint32Array): 1 | 2 | 4 {
  let bits = 0;
  for (let i = 0; i < column.length; i++) bits |= column[i]!;
  if (bits >>> 16) return 4;
  return bits > 0xff ? 2 : 1;
}

function writeColumn(frame: Uint8Array, start: number, column: Uint32Array, width: number): number {
  frame[start] = width;
  writeUint32(frame, start + 1, column.length);
  let at = start + columnHeadBytes;
  if (width === 1) {
    frame.set(column, at);
    return at + column.length;
  }
  for (let i = 0; i < column.length; i++) {
    const value = column[i]!;
    frame[at++] = value;
    frame[at++] = value >>> 8;
    if (width === 4) {
      frame[at++] = value >>> 16;
      frame[at++] = value >>> 24;
    }
  }
  return at;
}

interface Decoded {
  kind: Kind;
  objects: Record<string, unknown>[];
  /** Where the columns end and the body begins. */
  end: number;
}

function decodeObjects(bytes: Uint8Array): Decoded {
  if (bytes.length < fixedBytes) throw new FrameError(`it has ${bytes.length} bytes, too few for a frame`);
  if (bytes[0] !== magic) throw new FrameError('it does not begin like a frame');
  const version = bytes[1]!;
  if (version !== frameVersion) {
    throw new FrameError(`it is of wire version ${version}, and this process speaks version ${frameVersion}`, {
      hint: 'run the same release of shoal on all machines',
    });
  }
  const kind = bytes[2] as Kind;
  if (kind < kinds.message || kind > kinds.facts || bytes[3] !== 0) throw new FrameError('it is of an unknown kind');
  const jsonEnd = fixedBytes + readUint32(bytes, 4);
  if (jsonEnd > bytes.length) throw new FrameError('it ends too early');
  const entries = parse(bytes, jsonEnd);
  const objects: Record<string, unknown>[] = [];
  let at = jsonEnd;
  for (const entry of entries) {
    const fields: unknown = Array.isArray(entry) ? entry[0] : undefined;
    if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) throw new FrameError('its head is damaged');
    const object = fields as Record<string, unknown>;
    const names = entry as unknown[];
    for (let i = 1; i < names.length; i++) {
      const name = names[i];
      if (typeof name !== 'string' || name === '__proto__') throw new FrameError('its head is damaged');
      const end = columnEnd(bytes, at);
      object[name] = readColumn(bytes, at, end);
      at = end;
    }
    objects.push(object);
  }
  return { kind, objects, end: at };
}

function parse(bytes: Uint8Array, jsonEnd: number): unknown[] {
  const text = (Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)).toString(
    'utf8',
    fixedBytes,
    jsonEnd,
  );
  let entries: unknown;
  try {
    entries = JSON.parse(text);
  } catch (cause) {
    throw new FrameError('its head is damaged', { cause });
  }
  if (!Array.isArray(entries)) throw new FrameError('its head is damaged');
  return entries;
}

function columnEnd(bytes: Uint8Array, at: number): number {
  if (at + columnHeadBytes > bytes.length) throw new FrameError('it ends too early');
  const width = bytes[at]!;
  if (width !== 1 && width !== 2 && width !== 4) throw new FrameError(`a column has numbers of ${width} bytes`);
  const end = at + columnHeadBytes + width * readUint32(bytes, at + 1);
  if (end > bytes.length) throw new FrameError('it ends too early');
  return end;
}

function readColumn(bytes: Uint8Array, start: number, end: number): Uint32Array {
  const width = bytes[start]!;
  let at = start + columnHeadBytes;
  const column = new Uint32Array((end - at) / width);
  if (width === 1) for (let i = 0; at < end; i++) column[i] = bytes[at++]!;
  else if (width === 2) for (let i = 0; at < end; i++, at += 2) column[i] = bytes[at]! | (bytes[at + 1]! << 8);
  else for (let i = 0; at < end; i++, at += 4) column[i] = readUint32(bytes, at);
  return column;
}

/** A plain view, whatever class `bytes` is of. */
function viewOf(bytes: Uint8Array, from: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + from, bytes.length - from);
}

function readUint32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}
