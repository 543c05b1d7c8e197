/**
 * Plain data as JSON, readable by anything, and strict: what JSON would change in silence is refused by path
 * (NaN, Infinity, BigInt, Map, Set, Date, typed arrays, class instances, undefined in arrays, empty places), where
 * JSON.stringify would say null, {} or a text. -0 stays -0.
 *
 * Two things are let through that JSON has no word for: a property that is undefined is left out, because that is
 * what optional properties are in TypeScript; and a value that is undefined itself, what a task without a result
 * returns, is zero bytes.
 *
 * The text is put together here and not by JSON.stringify, which would call `toJSON`, and could only be trusted
 * after a walk of the same length.
 */
import { type Codec, CorruptValueError, type DecodeLimits } from './codec.ts';
import { valueBytesMax } from './msgpack-format.ts';
import { asBuffer, readText, writeText } from './text.ts';
import { Trail, valueDepthMax } from './trail.ts';

const trail = new Trail();
const useMsgpack = 'use the msgpack codec';
const needsNoEscape = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

export const jsonCodec: Codec = {
  name: 'json',
  encode(value, into) {
    if (value === undefined) return;
    const start = into.length;
    const outerBase = trail.begin();
    try {
      const text = textOf(value);
      writeText(text, Buffer.byteLength(text), into);
    } catch (error) {
      into.length = start;
      throw trail.explain(error);
    } finally {
      trail.end(outerBase);
    }
  },
  decode(bytes, { depthMax, bytesMax }: DecodeLimits = { depthMax: valueDepthMax, bytesMax: valueBytesMax }) {
    if (bytes.length === 0) return undefined;
    if (bytes.length > bytesMax) throw new CorruptValueError('json', `${bytes.length} bytes are more than the limit of ${bytesMax}`);
    const text = readText(asBuffer(bytes), 0, bytes.length);
    if (text === undefined) throw new CorruptValueError('json', 'it is no UTF-8');
    if (bytes.length > depthMax && isDeeperThan(depthMax, bytes)) throw new CorruptValueError('json', 'it is nested too deep');
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new CorruptValueError('json', (cause as Error).message, cause);
    }
  },
};

function textOf(value: unknown): string {
  switch (typeof value) {
    case 'number':
      if (Number.isFinite(value)) return value === 0 && 1 / value < 0 ? '-0' : String(value);
      throw trail.refusal(String(value), useMsgpack);
    case 'string':
      return quoted(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      if (value === null) return 'null';
      return Array.isArray(value) ? arrayText(value) : recordText(value);
    case 'undefined':
      throw trail.refusal('undefined', useMsgpack);
    case 'bigint':
      throw trail.refusal('a BigInt', useMsgpack);
    case 'function':
      throw trail.refusal('a function', "send data; functions belong into the task's module");
    case 'symbol':
      throw trail.refusal('a symbol');
  }
}

function quoted(text: string): string {
  return needsNoEscape.test(text) ? `"${text}"` : JSON.stringify(text);
}

function arrayText(array: readonly unknown[]): string {
  const level = trail.enter(array);
  let text = '[';
  for (let i = 0; i < array.length; i++) {
    trail.keys[level] = i;
    text += i === 0 ? textOf(array[i]) : `,${textOf(array[i])}`;
  }
  trail.leave();
  return `${text}]`;
}

function recordText(object: object): string {
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype !== Object.prototype && prototype !== null) throw trail.refusal(instanceName(object), useMsgpack);
  const level = trail.enter(object);
  let text = '{';
  for (const name of Object.keys(object)) {
    trail.keys[level] = name;
    const value = (object as Record<string, unknown>)[name];
    if (value !== undefined) text += `${text.length > 1 ? ',' : ''}${quoted(name)}:${textOf(value)}`;
  }
  trail.leave();
  return `${text}}`;
}

function instanceName(object: object): string {
  const maker: unknown = object.constructor;
  const name = typeof maker === 'function' && maker.name ? maker.name : 'class instance';
  return `${/^[AEIO]/.test(name) ? 'an' : 'a'} ${name}`;
}

/** Counts brackets outside of texts; JSON.parse itself would take any depth, and whoever walks its result would fall. */
function isDeeperThan(depthMax: number, bytes: Uint8Array): boolean {
  let depth = 0;
  let inText = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (inText) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) inText = false;
    } else if (byte === 0x22) inText = true;
    else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > depthMax) return true;
    } else if (byte === 0x5d || byte === 0x7d) depth--;
  }
  return false;
}
