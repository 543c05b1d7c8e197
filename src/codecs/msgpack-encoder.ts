/**
 * Writes values as MessagePack in one walk that also checks them: what cannot travel is refused where it is
 * met, with its path. The trail knows the way.
 */
import { types } from 'node:util';
import type { ByteSink } from '../lib/bytes.ts';
import type { UnserialisableError } from './codec.ts';
import { type BinaryKind, binaryKinds, extension, Hole, valueBytesMax } from './msgpack-format.ts';
import { writeText } from './text.ts';
import { type Place, places, Trail } from './trail.ts';

type Kind = 'record' | 'view' | 'buffer' | 'map' | 'set' | 'date' | 'regexp' | 'error' | 'url' | 'boxed' | 'hole' | 'foreign';

const shortStringLengthMax = 64;
const float64 = new Float64Array(1);
const float64Bytes = new Uint8Array(float64.buffer);
const binaryCodes = new Map<string, number>(binaryKinds.map((kind, code) => [kind, code]));

/** Decided by prototype where that is enough; user classes are added as they are met. */
const kinds = new WeakMap<object, Kind>([
  [Map.prototype, 'map'],
  [Set.prototype, 'set'],
  [Date.prototype, 'date'],
  [RegExp.prototype, 'regexp'],
  [Error.prototype, 'error'],
  [URL.prototype, 'url'],
  [Hole.prototype, 'hole'],
  [ArrayBuffer.prototype, 'buffer'],
  [Uint8Array.prototype, 'view'],
  [Buffer.prototype, 'view'],
]);

export class MsgpackEncoder {
  private readonly withHoles: boolean;
  private readonly trail = new Trail();

  constructor(options: { withHoles: boolean }) {
    this.withHoles = options.withHoles;
  }

  encode(value: unknown, into: ByteSink): void {
    if (typeof value === 'number') return writeNumber(value, into);
    const start = into.length;
    const outerBase = this.trail.begin();
    try {
      this.write(value, into);
    } catch (error) {
      into.length = start;
      throw this.trail.explain(error);
    } finally {
      this.trail.end(outerBase);
    }
  }

  private write(value: unknown, into: ByteSink): void {
    switch (typeof value) {
      case 'number':
        return writeNumber(value, into);
      case 'string':
        return writeString(value, into);
      case 'boolean':
        return writeByte(value ? 0xc3 : 0xc2, into);
      case 'object':
        return value === null ? writeByte(0xc0, into) : this.writeObject(value, into);
      case 'undefined':
        return writeFixedExtension(0xd4, extension.undefined, 1, into);
      case 'bigint':
        return writeBigint(value, into);
      case 'function':
        throw this.trail.refusal('a function', "send data; functions belong into the task's module");
      case 'symbol':
        throw this.trail.refusal('a symbol');
    }
  }

  private writeObject(value: object, into: ByteSink): void {
    const prototype: object | null = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return this.writeRecord(value as Record<string, unknown>, into);
    if (Array.isArray(value)) return this.writeArray(value, into);
    switch (kinds.get(prototype) ?? kindOf(value, prototype)) {
      case 'record':
        return this.writeRecord(value as Record<string, unknown>, into);
      case 'view':
        return this.writeView(value as ArrayBufferView, into);
      case 'buffer':
        return writeBinary('ArrayBuffer', new Uint8Array(value as ArrayBuffer), into);
      case 'map':
        return this.writeMap(value as Map<unknown, unknown>, into);
      case 'set':
        return this.writeSet(value as Set<unknown>, into);
      case 'date':
        return writeDate(value as Date, into);
      case 'regexp': {
        const lengthAt = openExtension(extension.regexp, into);
        writeHeader(2, 0x90, 15, 0xdc, into);
        writeString((value as RegExp).source, into);
        writeString((value as RegExp).flags, into);
        return closeExtension(lengthAt, into);
      }
      case 'error':
        return this.writeError(value as Error, into);
      case 'url': {
        const text = (value as URL).href;
        const lengthAt = openExtension(extension.url, into);
        writeText(text, Buffer.byteLength(text), into);
        return closeExtension(lengthAt, into);
      }
      case 'boxed':
        return this.write(value.valueOf(), into);
      case 'hole':
        if (!this.withHoles) throw this.trail.refusal('a hole outside of a template');
        writeFixedExtension(0xd6, extension.hole, 4, into);
        return void into.buffer.writeUInt32BE((value as Hole).index, into.length - 4);
      case 'foreign':
        throw this.refuseForeign(value);
    }
  }

  private writeRecord(record: Record<string, unknown>, into: ByteSink): void {
    const level = this.enter(record, into);
    const names = Object.keys(record);
    writeHeader(names.length, 0x80, 15, 0xde, into);
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      this.trail.keys[level] = name;
      writeString(name, into);
      this.write(record[name], into);
    }
    this.trail.leave();
  }

  private writeArray(array: readonly unknown[], into: ByteSink): void {
    const level = this.enter(array, into);
    const { length } = array;
    writeHeader(length, 0x90, 15, 0xdc, into);
    for (let i = 0; i < length; i++) {
      const element = array[i];
      this.trail.keys[level] = i;
      // Empty places travel as undefined, as long as that is no way to make gigabytes of nothing.
      if (element === undefined && length > 4096 && !(i in array) && Object.keys(array).length < length / 16) {
        this.trail.leave();
        throw this.trail.refusal(`an array of ${length} places that are nearly all empty`, 'send a Map');
      }
      this.write(element, into);
    }
    this.trail.leave();
  }

  private writeMap(map: Map<unknown, unknown>, into: ByteSink): void {
    const level = this.enter(map, into);
    const lengthAt = openExtension(extension.map, into);
    writeHeader(map.size * 2, 0x90, 15, 0xdc, into);
    for (const [key, value] of map) {
      this.trail.keys[level] = places.mapKey;
      this.write(key, into);
      this.trail.keys[level] = key as Place;
      this.write(value, into);
    }
    closeExtension(lengthAt, into);
    this.trail.leave();
  }

  private writeSet(set: Set<unknown>, into: ByteSink): void {
    const level = this.enter(set, into);
    const lengthAt = openExtension(extension.set, into);
    writeHeader(set.size, 0x90, 15, 0xdc, into);
    let index = 0;
    for (const element of set) {
      this.trail.keys[level] = index++;
      this.write(element, into);
    }
    closeExtension(lengthAt, into);
    this.trail.leave();
  }

  private writeError(error: Error & { code?: unknown; cause?: unknown; errors?: unknown }, into: ByteSink): void {
    const level = this.enter(error, into);
    const { name, message, stack, code } = error;
    const fields: [string, unknown][] = [
      ['name', typeof name === 'string' ? name : 'Error'],
      ['message', typeof message === 'string' ? message : ''],
    ];
    if (typeof stack === 'string') fields.push(['stack', stack]);
    if (code !== undefined) fields.push(['code', code]);
    if (Object.hasOwn(error, 'cause')) fields.push(['cause', error.cause]);
    if (Array.isArray(error.errors)) fields.push(['errors', error.errors]);
    const lengthAt = openExtension(extension.error, into);
    writeHeader(fields.length, 0x80, 15, 0xde, into);
    for (const [field, value] of fields) {
      this.trail.keys[level] = field;
      writeString(field, into);
      this.write(value, into);
    }
    closeExtension(lengthAt, into);
    this.trail.leave();
  }

  private writeView(view: ArrayBufferView, into: ByteSink): void {
    const bytes = view instanceof Uint8Array ? view : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    if (bytes.length > valueBytesMax) throw this.trail.refusal(`${bytes.length} bytes of binary data, more than any limit lets through`);
    // The tag is a getter that sees the real type of a typed array, whatever its class calls itself.
    const kind = types.isDataView(view) ? 'DataView' : (view as Uint8Array)[Symbol.toStringTag];
    if (kind !== 'Uint8Array') return writeBinary(kind as BinaryKind, bytes, into);
    const { length } = bytes;
    into.reserve(5 + length);
    if (length < 0x100) {
      into.buffer[into.length++] = 0xc4;
      into.buffer[into.length++] = length;
    } else {
      into.buffer[into.length++] = 0xc6;
      into.length = into.buffer.writeUInt32BE(length, into.length);
    }
    into.append(bytes);
  }

  private enter(object: object, into: ByteSink): number {
    if (into.length > valueBytesMax) throw this.trail.refusal('part of a value of more bytes than any limit lets through');
    return this.trail.enter(object);
  }

  private refuseForeign(value: object): UnserialisableError {
    const what = types.isSharedArrayBuffer(value)
      ? 'SharedArrayBuffer'
      : String((value as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag]);
    const article = /^[AEIO]/.test(what) ? 'an' : 'a';
    return this.trail.refusal(`${article} ${what}`, what === 'Promise' ? 'await it first' : 'send the plain data that is in it');
  }
}

function kindOf(value: object, prototype: object): Kind {
  if (ArrayBuffer.isView(value)) return 'view';
  if (types.isMap(value)) return 'map';
  if (types.isSet(value)) return 'set';
  if (types.isDate(value)) return 'date';
  if (types.isRegExp(value)) return 'regexp';
  if (types.isNativeError(value) || value instanceof Error) return 'error';
  if (types.isArrayBuffer(value)) return 'buffer';
  if (types.isBoxedPrimitive(value)) return 'boxed';
  if (value instanceof URL) return 'url';
  if (types.isSharedArrayBuffer(value)) return 'foreign';
  // What has a tag of its own (Promise, WeakMap, Blob, iterators, streams, signals) keeps its state where no key shows it.
  if (typeof (value as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] === 'string') return 'foreign';
  kinds.set(prototype, 'record');
  return 'record';
}

function writeByte(byte: number, into: ByteSink): void {
  into.reserve(1);
  into.buffer[into.length++] = byte;
}

function writeNumber(value: number, into: ByteSink): void {
  into.reserve(9);
  const { buffer } = into;
  const at = into.length;
  if ((value | 0) === value && (value !== 0 || 1 / value > 0)) {
    if (value >= 0) {
      if (value < 0x80) {
        buffer[at] = value;
        into.length = at + 1;
      } else if (value < 0x100) {
        buffer[at] = 0xcc;
        buffer[at + 1] = value;
        into.length = at + 2;
      } else if (value < 0x10000) {
        buffer[at] = 0xcd;
        buffer[at + 1] = value >> 8;
        buffer[at + 2] = value;
        into.length = at + 3;
      } else writeInt32(0xce, value, into);
    } else if (value >= -0x20) {
      buffer[at] = value;
      into.length = at + 1;
    } else if (value >= -0x80) {
      buffer[at] = 0xd0;
      buffer[at + 1] = value;
      into.length = at + 2;
    } else if (value >= -0x8000) {
      buffer[at] = 0xd1;
      buffer[at + 1] = value >> 8;
      buffer[at + 2] = value;
      into.length = at + 3;
    } else writeInt32(0xd2, value, into);
  } else if (value >>> 0 === value && value !== 0) {
    writeInt32(0xce, value, into);
  } else {
    buffer[at] = 0xcb;
    writeFloat64(value, buffer, at + 1);
    into.length = at + 9;
  }
}

function writeInt32(token: number, value: number, into: ByteSink): void {
  const { buffer } = into;
  let at = into.length;
  buffer[at++] = token;
  buffer[at++] = value >>> 24;
  buffer[at++] = value >>> 16;
  buffer[at++] = value >>> 8;
  buffer[at++] = value;
  into.length = at;
}

function writeFloat64(value: number, buffer: Uint8Array, at: number): void {
  float64[0] = value;
  buffer[at] = float64Bytes[7]!;
  buffer[at + 1] = float64Bytes[6]!;
  buffer[at + 2] = float64Bytes[5]!;
  buffer[at + 3] = float64Bytes[4]!;
  buffer[at + 4] = float64Bytes[3]!;
  buffer[at + 5] = float64Bytes[2]!;
  buffer[at + 6] = float64Bytes[1]!;
  buffer[at + 7] = float64Bytes[0]!;
}

function writeString(text: string, into: ByteSink): void {
  const { length } = text;
  if (length <= shortStringLengthMax) {
    into.reserve(2 + length);
    const { buffer } = into;
    const start = into.length + (length < 32 ? 1 : 2);
    let i = 0;
    for (; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x80) break;
      buffer[start + i] = code;
    }
    if (i === length) {
      if (length < 32) buffer[into.length] = 0xa0 | length;
      else {
        buffer[into.length] = 0xd9;
        buffer[into.length + 1] = length;
      }
      into.length = start + length;
      return;
    }
  }
  if (!(text as string & { isWellFormed(): boolean }).isWellFormed()) {
    const lengthAt = openExtension(extension.utf16, into);
    into.append(Buffer.from(text, 'utf16le'));
    return closeExtension(lengthAt, into);
  }
  const bytes = Buffer.byteLength(text);
  into.reserve(5);
  if (bytes < 32) into.buffer[into.length++] = 0xa0 | bytes;
  else if (bytes < 0x100) {
    into.buffer[into.length++] = 0xd9;
    into.buffer[into.length++] = bytes;
  } else if (bytes < 0x10000) {
    into.buffer[into.length++] = 0xda;
    into.length = into.buffer.writeUInt16BE(bytes, into.length);
  } else writeInt32(0xdb, bytes, into);
  writeText(text, bytes, into);
}

/** Of an array or a map: short, 16 or 32 bits. */
function writeHeader(count: number, fixed: number, fixedMax: number, wide: number, into: ByteSink): void {
  into.reserve(5);
  if (count <= fixedMax) into.buffer[into.length++] = fixed | count;
  else if (count < 0x10000) {
    into.buffer[into.length++] = wide;
    into.buffer[into.length++] = count >> 8;
    into.buffer[into.length++] = count;
  } else writeInt32(wide + 1, count, into);
}

function writeBigint(value: bigint, into: ByteSink): void {
  into.reserve(9);
  if (BigInt.asIntN(64, value) === value) {
    into.buffer[into.length++] = 0xd3;
    into.length = into.buffer.writeBigInt64BE(value, into.length);
  } else if (BigInt.asUintN(64, value) === value) {
    into.buffer[into.length++] = 0xcf;
    into.length = into.buffer.writeBigUInt64BE(value, into.length);
  } else {
    const digits = (value < 0n ? -value : value).toString(16);
    const lengthAt = openExtension(extension.bigint, into);
    writeByte(value < 0n ? 1 : 0, into);
    into.append(Buffer.from(digits.length % 2 ? `0${digits}` : digits, 'hex'));
    closeExtension(lengthAt, into);
  }
}

function writeDate(date: Date, into: ByteSink): void {
  writeFixedExtension(0xd7, extension.date, 8, into);
  // Not `date.getTime()`: a subclass may say anything there.
  writeFloat64(Date.prototype.getTime.call(date), into.buffer, into.length - 8);
}

function writeBinary(kind: BinaryKind, bytes: Uint8Array, into: ByteSink): void {
  const lengthAt = openExtension(extension.binary, into);
  writeByte(binaryCodes.get(kind)!, into);
  into.append(bytes);
  closeExtension(lengthAt, into);
}

/** The payload is zero until the caller writes it. */
function writeFixedExtension(token: number, type: number, bytes: number, into: ByteSink): void {
  into.reserve(2 + bytes);
  into.buffer[into.length++] = token;
  into.buffer[into.length++] = type;
  into.buffer.fill(0, into.length, into.length + bytes);
  into.length += bytes;
}

/** An extension whose length is known only when it is written; `closeExtension` takes what this returns. */
function openExtension(type: number, into: ByteSink): number {
  into.reserve(6);
  into.buffer[into.length] = 0xc9;
  into.buffer[into.length + 5] = type;
  into.length += 6;
  return into.length - 5;
}

function closeExtension(lengthAt: number, into: ByteSink): void {
  into.buffer.writeUInt32BE(into.length - lengthAt - 5, lengthAt);
}
