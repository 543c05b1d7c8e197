/**
 * What encoder and decoder of the msgpack codec must agree on. The bytes are standard MessagePack; what
 * MessagePack has no word for travels as an extension of one of the types below.
 *
 * Integers up to 32 bits travel as integers, all other numbers as float64, so that -0, NaN and integers above
 * 2^53 come back as they were; the 64-bit integer types stand for BigInt alone.
 */

export const extension = {
  /** One byte, 0. */
  undefined: 0,
  /** A sign byte (0 or 1), then the magnitude, most significant byte first: what 64 bits can't hold. */
  bigint: 1,
  /** Milliseconds since 1970 as float64; NaN is an invalid date. */
  date: 2,
  /** An array of key, value, key, value, … */
  map: 3,
  /** An array. */
  set: 4,
  /** A byte, the index in `binaryKinds`, then the elements, least significant byte first. */
  binary: 5,
  /** A map: name, message, and where there are any stack, code, cause, errors. */
  error: 6,
  /** An array of source and flags. */
  regexp: 7,
  /** Its text. */
  url: 8,
  /** A string with lone surrogates, which UTF-8 can't hold, as UTF-16LE. */
  utf16: 9,
  /** A hole's index as u32; only in templates. */
  hole: 10,
} as const;

/** The position is the wire's name of the kind: append only. Uint8Array itself is MessagePack's own `bin`. */
export const binaryKinds = [
  'ArrayBuffer',
  'DataView',
  'Int8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
  // Newer than the oldest Node that we run on: refused where it is unknown.
  'Float16Array',
] as const;
export type BinaryKind = (typeof binaryKinds)[number];

/** Past this no limit of the product lets a value through; it keeps shared subtrees from growing without end. */
export const valueBytesMax = 1024 ** 3;

/** A numbered place in a template that is filled later; see template.ts. */
export class Hole {
  readonly index: number;
  constructor(index: number) {
    this.index = index;
  }
}
