/**
 * Reads what msgpack-encoder.ts wrote. The bytes may come from anywhere: every count is checked against the
 * bytes that are left, so that a value costs memory in proportion to its bytes; what is made is chosen here,
 * never by the bytes (X11); a `__proto__` key becomes an own property (X05).
 *
 * Nothing that is decoded shares memory with the bytes: they may be reused or transferred afterwards.
 */
import { makeError, restoreError } from '../lib/error-record.ts';
import { CorruptValueError, type DecodeLimits } from './codec.ts';
import { binaryKinds, extension, valueBytesMax } from './msgpack-format.ts';
import { asBuffer, readText } from './text.ts';
import { valueDepthMax } from './trail.ts';

const defaultLimits: DecodeLimits = { depthMax: valueDepthMax, bytesMax: valueBytesMax };
const nothing = new Uint8Array(0);
const float64 = new Float64Array(1);
const float64Bytes = new Uint8Array(float64.buffer);
const float32 = new Float32Array(1);
const float32Bytes = new Uint8Array(float32.buffer);

/** Texts up to this many bytes are put together here; calling out to native code only pays for longer ones. */
const shortTextBytesMax = 24;
/** Records of more names are counts by word or the like: no two have the same names, and giving each a shape would take five times as long. */
const shapedNamesMax = 32;
/** Property names repeat from value to value: the same string object each time, looked up by a hash of its bytes. */
const nameCache: string[] = new Array<string>(8192).fill('');

export class MsgpackDecoder {
  private source: Uint8Array = nothing;
  /** `source` with Buffer's methods, made when the first longer text is met. */
  private texts: Buffer | undefined;
  private position = 0;
  private end = 0;
  /** Levels that may still be entered. */
  private levels = 0;
  private fill: readonly unknown[] | undefined;

  /** Exactly one value in `bytes[from … to-1]`. `fill`: what to put into the holes of a template. */
  decode(bytes: Uint8Array, from: number, to: number, limits: DecodeLimits | undefined, fill?: readonly unknown[]): unknown {
    const { depthMax, bytesMax } = limits ?? defaultLimits;
    if (to - from > bytesMax) throw new CorruptValueError('msgpack', `${to - from} bytes are more than the limit of ${bytesMax}`);
    this.source = bytes;
    this.position = from;
    this.end = to;
    this.levels = depthMax;
    this.fill = fill;
    try {
      const value = this.read();
      if (this.position !== to) throw this.corrupt(`${to - this.position} bytes too many`);
      return value;
    } catch (error) {
      throw error instanceof CorruptValueError ? error : new CorruptValueError('msgpack', String((error as Error).message), error);
    } finally {
      this.source = nothing;
      this.texts = undefined;
      this.fill = undefined;
    }
  }

  private read(): unknown {
    const { source, position } = this;
    if (position >= this.end) throw this.truncated();
    const token = source[position]!;
    this.position = position + 1;
    if (token < 0x80) return token;
    if (token >= 0xe0) return token - 0x100;
    if (token < 0x90) return this.readRecord(token & 0x0f);
    if (token < 0xa0) return this.readArray(token & 0x0f);
    if (token < 0xc0) return this.readText(token & 0x1f);
    switch (token) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return this.readBytes(this.unsigned(1));
      case 0xc5:
        return this.readBytes(this.unsigned(2));
      case 0xc6:
        return this.readBytes(this.unsigned(4));
      case 0xc7:
        return this.readExtension(this.unsigned(1));
      case 0xc8:
        return this.readExtension(this.unsigned(2));
      case 0xc9:
        return this.readExtension(this.unsigned(4));
      case 0xca:
        return this.readFloat32();
      case 0xcb:
        return this.readFloat64();
      case 0xcc:
        return this.unsigned(1);
      case 0xcd:
        return this.unsigned(2);
      case 0xce:
        return this.unsigned(4);
      case 0xcf:
        return BigInt.asUintN(64, this.readInt64());
      case 0xd0:
        return (this.unsigned(1) << 24) >> 24;
      case 0xd1:
        return (this.unsigned(2) << 16) >> 16;
      case 0xd2:
        return this.unsigned(4) | 0;
      case 0xd3:
        return this.readInt64();
      case 0xd4:
        return this.readExtension(1);
      case 0xd5:
        return this.readExtension(2);
      case 0xd6:
        return this.readExtension(4);
      case 0xd7:
        return this.readExtension(8);
      case 0xd8:
        return this.readExtension(16);
      case 0xd9:
        return this.readText(this.unsigned(1));
      case 0xda:
        return this.readText(this.unsigned(2));
      case 0xdb:
        return this.readText(this.unsigned(4));
      case 0xdc:
        return this.readArray(this.unsigned(2));
      case 0xdd:
        return this.readArray(this.unsigned(4));
      case 0xde:
        return this.readRecord(this.unsigned(2));
      case 0xdf:
        return this.readRecord(this.unsigned(4));
      default:
        throw this.corrupt(`0x${token.toString(16)} begins no value`);
    }
  }

  private readArray(count: number): unknown[] {
    this.enter(count);
    // Grown, not sized: a count that lies would make an array of up to eight times the bytes that are left, at every level.
    const array: unknown[] = [];
    for (let i = 0; i < count; i++) array.push(this.read());
    this.levels++;
    return array;
  }

  private readRecord(count: number): Record<string, unknown> {
    this.enter(count * 2);
    const record: Record<string, unknown> = count > shapedNamesMax ? wideRecord() : {};
    for (let i = 0; i < count; i++) {
      const name = this.readName();
      const value = this.read();
      if (name === '__proto__') Object.defineProperty(record, name, { value, writable: true, enumerable: true, configurable: true });
      else record[name] = value;
    }
    this.levels++;
    return record;
  }

  private readName(): string {
    const { source, position } = this;
    const token = source[position]!;
    if (position < this.end && token >= 0xa0 && token < 0xc0) {
      const length = token & 0x1f;
      const start = position + 1;
      if (start + length <= this.end) {
        let hash = length;
        for (let i = 0; i < length; i++) hash = (Math.imul(hash, 31) + source[start + i]!) | 0;
        const slot = (hash ^ (hash >>> 11)) & (nameCache.length - 1);
        const known = nameCache[slot]!;
        if (known.length === length && isSame(known, source, start)) {
          this.position = start + length;
          return known;
        }
        this.position = start;
        const name = this.readText(length);
        // Only ASCII names can be compared by byte; the others are read each time.
        if (name.length === length) nameCache[slot] = name;
        return name;
      }
    }
    const name = this.read();
    if (typeof name !== 'string') throw this.corrupt('a property name is no text');
    return name;
  }

  private readText(bytes: number): string {
    const from = this.advance(bytes);
    if (bytes <= shortTextBytesMax) {
      const text = shortAscii(this.source, from, bytes);
      if (text !== undefined) return text;
    }
    this.texts ??= asBuffer(this.source);
    const text = readText(this.texts, from, from + bytes);
    if (text === undefined) throw this.corrupt('a text is no UTF-8');
    return text;
  }

  private readBytes(length: number): Uint8Array<ArrayBuffer> {
    const from = this.advance(length);
    const bytes = new Uint8Array(length);
    bytes.set(this.source.subarray(from, from + length));
    return bytes;
  }

  private readExtension(length: number): unknown {
    const type = this.unsigned(1);
    const outerEnd = this.end;
    const end = this.position + length;
    if (end > outerEnd) throw this.truncated();
    this.end = end;
    const value = this.readExtended(type, length);
    if (this.position !== end) throw this.corrupt(`extension ${type} has bytes too many`);
    this.end = outerEnd;
    return value;
  }

  private readExtended(type: number, length: number): unknown {
    switch (type) {
      case extension.undefined:
        this.advance(length);
        return undefined;
      case extension.bigint: {
        const bytes = this.readBytes(length);
        const magnitude = BigInt(`0x0${Buffer.from(bytes.buffer, 1).toString('hex')}`);
        return bytes[0] ? -magnitude : magnitude;
      }
      case extension.date:
        return new Date(this.readFloat64());
      case extension.map:
        return this.readMap();
      case extension.set:
        return new Set(this.readList());
      case extension.binary:
        return this.readBinary(length);
      case extension.error:
        return this.readError();
      case extension.regexp: {
        const [source, flags] = this.readList();
        if (typeof source !== 'string' || typeof flags !== 'string') throw this.corrupt('a regular expression has no source or flags');
        return new RegExp(source, flags);
      }
      case extension.url:
        return new URL(this.readText(length));
      case extension.utf16:
        return Buffer.from(this.readBytes(length).buffer).toString('utf16le');
      case extension.hole: {
        const index = this.unsigned(4);
        if (!this.fill) throw this.corrupt('a hole outside of a template');
        if (index >= this.fill.length) throw this.corrupt(`hole ${index} of a template, and ${this.fill.length} values to fill in`);
        return this.fill[index];
      }
      default:
        throw this.corrupt(`extension ${type} is unknown`);
    }
  }

  private readList(): unknown[] {
    const list = this.read();
    if (!Array.isArray(list)) throw this.corrupt('an extension does not hold an array');
    return list;
  }

  private readMap(): Map<unknown, unknown> {
    const list = this.readList();
    if (list.length % 2) throw this.corrupt('a key without a value');
    const map = new Map<unknown, unknown>();
    for (let i = 0; i < list.length; i += 2) map.set(list[i], list[i + 1]);
    return map;
  }

  private readBinary(length: number): unknown {
    const kind = binaryKinds[this.unsigned(1)];
    const { buffer } = this.readBytes(Math.max(0, length - 1));
    if (kind === 'ArrayBuffer') return buffer;
    const viewClass = kind && (globalThis as unknown as Record<string, (new (buffer: ArrayBuffer) => ArrayBufferView) | undefined>)[kind];
    if (!viewClass) throw this.corrupt(`a kind of binary data that this Node does not know${kind ? `: ${kind}` : ''}`);
    return new viewClass(buffer);
  }

  private readError(): Error {
    const fields = this.read() as { name: string; message: string; stack?: string; code?: unknown; cause?: unknown; errors?: unknown[] };
    if (typeof fields?.name !== 'string' || typeof fields.message !== 'string') throw this.corrupt('an error has no name or message');
    const { name, message, stack, code, cause, errors } = fields;
    const text = typeof stack === 'string' ? stack : undefined;
    const error = Array.isArray(errors) ? restoreError(new AggregateError(errors, message), name, text) : makeError(name, message, text);
    const define = (key: string, value: unknown, enumerable: boolean): void =>
      void Object.defineProperty(error, key, { value, enumerable, writable: true, configurable: true });
    if (code !== undefined) define('code', code, true);
    if (Object.hasOwn(fields, 'cause')) define('cause', cause, false);
    return error;
  }

  private readFloat64(): number {
    const at = this.advance(8);
    const { source } = this;
    float64Bytes[7] = source[at]!;
    float64Bytes[6] = source[at + 1]!;
    float64Bytes[5] = source[at + 2]!;
    float64Bytes[4] = source[at + 3]!;
    float64Bytes[3] = source[at + 4]!;
    float64Bytes[2] = source[at + 5]!;
    float64Bytes[1] = source[at + 6]!;
    float64Bytes[0] = source[at + 7]!;
    return float64[0]!;
  }

  private readFloat32(): number {
    const at = this.advance(4);
    for (let i = 0; i < 4; i++) float32Bytes[3 - i] = this.source[at + i]!;
    return float32[0]!;
  }

  private readInt64(): bigint {
    const high = this.unsigned(4) | 0;
    return (BigInt(high) << 32n) | BigInt(this.unsigned(4));
  }

  private unsigned(bytes: 1 | 2 | 4): number {
    const at = this.advance(bytes);
    const { source } = this;
    if (bytes === 1) return source[at]!;
    if (bytes === 2) return (source[at]! << 8) | source[at + 1]!;
    return ((source[at]! << 24) | (source[at + 1]! << 16) | (source[at + 2]! << 8) | source[at + 3]!) >>> 0;
  }

  /** Returns where the next `bytes` begin and goes past them. */
  private advance(bytes: number): number {
    const at = this.position;
    if (at + bytes > this.end) throw this.truncated();
    this.position = at + bytes;
    return at;
  }

  /** Each of the `values` to come takes a byte at least. */
  private enter(values: number): void {
    if (values > this.end - this.position) throw this.truncated();
    if (this.levels-- <= 0) throw this.corrupt('it is nested too deep');
  }

  private truncated(): CorruptValueError {
    return this.corrupt('it ends too early');
  }

  private corrupt(what: string): CorruptValueError {
    return new CorruptValueError('msgpack', `${what} (at byte ${this.position})`);
  }
}

/** An ordinary object that V8 keeps as a hash table from the start. */
function wideRecord(): Record<string, unknown> {
  return Object.setPrototypeOf(Object.create(null), Object.prototype);
}

function isSame(text: string, source: Uint8Array, start: number): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== source[start + i]) return false;
  return true;
}

/** undefined where a byte is not ASCII. */
function shortAscii(source: Uint8Array, from: number, bytes: number): string | undefined {
  let text = '';
  let i = from;
  const end = from + bytes;
  for (; i + 4 <= end; i += 4) {
    const a = source[i]!;
    const b = source[i + 1]!;
    const c = source[i + 2]!;
    const d = source[i + 3]!;
    if ((a | b | c | d) >= 0x80) return undefined;
    text += String.fromCharCode(a, b, c, d);
  }
  for (; i < end; i++) {
    const code = source[i]!;
    if (code >= 0x80) return undefined;
    text += String.fromCharCode(code);
  }
  return text;
}
