/**
 * The default codec. What survives the way there and back, besides JSON's own: undefined, NaN, ±Infinity, -0,
 * BigInt of any size, Date, Map, Set, all typed arrays, ArrayBuffer, DataView, RegExp, URL, strings with lone
 * surrogates, and errors with name, message, stack, code, cause and errors.
 *
 * What changes on the way, as with structuredClone: an instance of a class arrives as a plain object of its own
 * enumerable properties; a Buffer as a Uint8Array; a view has only its own part of its memory behind it; empty
 * places of an array are undefined; properties named by symbols and named properties of arrays stay behind;
 * two references to one object become two objects. `new Number(1)` arrives as 1.
 *
 * Refused by path: functions, symbols, promises, weak collections, shared memory, iterators, streams and whatever
 * else keeps its state out of sight; cycles; nesting past 512 levels; getters that throw.
 *
 * The bytes are written here and not by a library, because checking, paths and -0 need a walk of their own
 * anyway, and one walk is faster than two. Another implementation reads them in msgpack.test.ts.
 */
import type { Codec } from './codec.ts';
import { MsgpackDecoder } from './msgpack-decoder.ts';
import { MsgpackEncoder } from './msgpack-encoder.ts';

const encoder = new MsgpackEncoder({ withHoles: false });
const decoder = new MsgpackDecoder();

export const msgpackCodec: Required<Codec> = {
  name: 'msgpack',
  encode: (value, into) => encoder.encode(value, into),
  decode: (bytes, limits) => decoder.decode(bytes, 0, bytes.length, limits),
  decodeRange: (bytes, from, to, limits) => decoder.decode(bytes, from, to, limits),
};
